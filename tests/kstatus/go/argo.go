package main

import (
	"fmt"
	"os"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What Argo CD shows of an object.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// A Lua script that has the object as the global `obj`.
type script struct {
	path string
	code *lua.FunctionProto
}

func compile(path string) (script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return script{}, err
	}
	chunk, err := parse.Parse(strings.NewReader(string(text)), path)
	if err != nil {
		return script{}, err
	}
	code, err := lua.Compile(chunk, path)
	return script{path, code}, err
}

// As Argo CD does it, but with the libraries base and table only: those it gives to a script of its ConfigMap, less `package` and `os`.
func (s script) run(object *unstructured.Unstructured) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	// They are of the library `package`, though gopher-lua has them in base.
	for _, name := range []string{"require", "module"} {
		state.SetGlobal(name, lua.LNil)
	}
	state.SetGlobal("obj", toLua(state, object.Object))
	state.Push(state.NewFunctionFromProto(s.code))
	if err := state.PCall(0, 1, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return fromLua(state.Get(-1))
}

// An object that is being deleted never gets as far as a script.
func (s script) health(object *unstructured.Unstructured) (health, error) {
	if object.GetDeletionTimestamp() != nil {
		return health{"Progressing", "Pending deletion"}, nil
	}
	returned, err := s.run(object)
	if err != nil {
		return health{}, err
	}
	table, ok := returned.(map[string]any)
	status, hasStatus := table["status"].(string)
	message, _ := table["message"].(string)
	if !ok || !hasStatus || len(table) > 2 {
		return health{}, fmt.Errorf("%s returns %v", s.path, returned)
	}
	return health{status, message}, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		list := state.CreateTable(len(value), 0)
		for _, item := range value {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

func fromLua(value lua.LValue) (any, error) {
	switch value := value.(type) {
	case *lua.LNilType:
		return nil, nil
	case lua.LBool:
		return bool(value), nil
	case lua.LString:
		return string(value), nil
	case lua.LNumber:
		return float64(value), nil
	case *lua.LTable:
		return fromTable(value)
	}
	return nil, fmt.Errorf("a %s has no JSON", value.Type())
}

// An empty table is a list, as Argo CD has it.
func fromTable(table *lua.LTable) (any, error) {
	list, members := []any{}, map[string]any{}
	var first error
	table.ForEach(func(key, item lua.LValue) {
		decoded, err := fromLua(item)
		if err != nil && first == nil {
			first = err
		}
		if name, ok := key.(lua.LString); ok {
			members[string(name)] = decoded
		} else {
			list = append(list, decoded)
		}
	})
	switch {
	case len(members) == 0:
		return list, first
	case len(list) > 0:
		return nil, fmt.Errorf("a table is a list and a map: %v, %v", list, members)
	}
	return members, first
}
