// Prints what kstatus makes of each object on stdin, one JSON object a line: the verdict of kubernetes-sigs/cli-utils and that of Flux's fork,
// which Helm uses, too.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigs "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	in.Buffer(nil, 1<<20)
	for line := 1; in.Scan(); line++ {
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(in.Bytes()); err != nil {
			log.Fatalf("line %d is no object: %v", line, err)
		}
		original, err := sigs.Compute(&object)
		if err != nil {
			log.Fatalf("kstatus cannot judge line %d: %v", line, err)
		}
		fork, err := flux.Compute(&object)
		if err != nil {
			log.Fatalf("the kstatus of Flux cannot judge line %d: %v", line, err)
		}
		fmt.Fprintln(out, original.Status, fork.Status)
	}
	if err := errors.Join(in.Err(), out.Flush()); err != nil {
		log.Fatal(err)
	}
}
