package main

import (
	"context"
	"fmt"
	"os"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
	source "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The expressions of a Kustomization, by the kind that they are for.
type evaluators map[[2]string]*cel.StatusEvaluator

func healthCheckExprs(path string) (evaluators, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kustomization kustomize.Kustomization
	if err := yaml.UnmarshalStrict(text, &kustomization); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all := evaluators{}
	for _, check := range kustomization.Spec.HealthCheckExprs {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all[[2]string{check.APIVersion, check.Kind}] = evaluator
	}
	return all, nil
}

func (e evaluators) verdict(object *unstructured.Unstructured) (string, error) {
	evaluator, ok := e[[2]string{object.GetAPIVersion(), object.GetKind()}]
	if !ok {
		return "", fmt.Errorf("no expression is for a %s of %s", object.GetKind(), object.GetAPIVersion())
	}
	result, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return "", err
	}
	return result.Status.String(), nil
}

func decode(line []byte) (any, error) {
	object, err := objectOf(line)
	if err != nil {
		return nil, err
	}
	types := map[string]any{
		"helm.toolkit.fluxcd.io/v2 HelmRelease":        &helm.HelmRelease{},
		"kustomize.toolkit.fluxcd.io/v1 Kustomization": &kustomize.Kustomization{},
		"source.toolkit.fluxcd.io/v1 GitRepository":    &source.GitRepository{},
		"source.toolkit.fluxcd.io/v1 HelmRepository":   &source.HelmRepository{},
		"source.toolkit.fluxcd.io/v1 OCIRepository":    &source.OCIRepository{},
	}
	kind := object.GetAPIVersion() + " " + object.GetKind()
	typed, ok := types[kind]
	if !ok {
		return nil, fmt.Errorf("no type is known for %s", kind)
	}
	return typed, yaml.UnmarshalStrict(line, typed)
}
