// Tells what the tools of GitOps make of objects.
//
//	judge HEALTH.lua KUSTOMIZATION.yaml   prints the verdicts on each object on stdin, one JSON object a line
//	lua SCRIPT.lua                        prints what the script returns for each object on stdin
//	decode                                prints each Flux object on stdin as its type has it; a field that the type has not is an error
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigs "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	log.SetFlags(0)
	answer, err := command(os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	in.Buffer(nil, 1<<20)
	for line := 1; in.Scan(); line++ {
		answered, err := answer(in.Bytes())
		if err != nil {
			log.Fatalf("line %d: %v", line, err)
		}
		text, err := json.Marshal(answered)
		if err != nil {
			log.Fatalf("line %d: %v", line, err)
		}
		out.Write(append(text, '\n'))
	}
	if err := errors.Join(in.Err(), out.Flush()); err != nil {
		log.Fatal(err)
	}
}

// Answers one line.
type answerer func(line []byte) (any, error)

func command(arguments []string) (answerer, error) {
	switch {
	case len(arguments) == 3 && arguments[0] == "judge":
		return judge(arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "lua":
		script, err := compile(arguments[1])
		return func(line []byte) (any, error) {
			object, err := objectOf(line)
			if err != nil {
				return nil, err
			}
			return script.run(object)
		}, err
	case len(arguments) == 1 && arguments[0] == "decode":
		return decode, nil
	}
	return nil, fmt.Errorf("no command in %q", arguments)
}

func objectOf(line []byte) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(line)
}

// Verdicts on an object.
type verdicts struct {
	// Kstatus is that of kubernetes-sigs/cli-utils.
	Kstatus string `json:"kstatus"`
	// Fork is that of fluxcd/cli-utils, which Helm uses, too.
	Fork string `json:"fork"`
	// Exprs is that of Flux with healthCheckExprs.
	Exprs string `json:"exprs"`
	// Argo is that of Argo CD.
	Argo health `json:"argo"`
}

func judge(script, kustomization string) (answerer, error) {
	lua, luaErr := compile(script)
	exprs, exprsErr := healthCheckExprs(kustomization)
	return func(line []byte) (any, error) {
		object, err := objectOf(line)
		if err != nil {
			return nil, err
		}
		original, originalErr := sigs.Compute(object)
		fork, forkErr := flux.Compute(object)
		argo, argoErr := lua.health(object)
		custom, customErr := exprs.verdict(object)
		if err := errors.Join(originalErr, forkErr, argoErr, customErr); err != nil {
			return nil, err
		}
		return verdicts{original.Status.String(), fork.Status.String(), custom, argo}, nil
	}, errors.Join(luaErr, exprsErr)
}
