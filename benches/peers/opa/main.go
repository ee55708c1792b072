// Measures OPA's own Go library with the benchmarks' rules: one decision for each chunk, many chunks in one evaluation, and what is left of
// the rules before there is a chunk. It prints nanoseconds for each chunk or call as JSON.
//
//	opa-peer INPUT.json
//
// The benchmarks write the input: who asks, the chunks, and what every other engine decides on them, which is compared first.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/rego/compile"
)

// Input is what the benchmarks ask for.
type Input struct {
	Rules     string `json:"rules"`
	Filters   string `json:"filters"`
	Action    string `json:"action"`
	Subject   any    `json:"subject"`
	Chunks    []any  `json:"chunks"`
	Decisions []bool `json:"decisions"`
	Batches   []int  `json:"batches"`
	// How long each measurement goes on.
	Milliseconds int `json:"milliseconds"`
}

// Figure is one measurement.
type Figure struct {
	Row         string  `json:"row"`
	Batch       int     `json:"batch"`
	Nanoseconds float64 `json:"nanoseconds"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "opa-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: opa-peer INPUT.json")
	}
	bytes, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var input Input
	if err := json.Unmarshal(bytes, &input); err != nil {
		return err
	}
	figures, err := decide(&input)
	if err != nil {
		return err
	}
	filters, err := filter(&input)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"version": version(),
		"figures": append(figures, filters...),
	})
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/open-policy-agent/opa" {
			return fmt.Sprintf("OPA %s, %s", module.Version, info.GoVersion)
		}
	}
	return "unknown"
}

// Prepared queries over inputs that were parsed beforehand, as Cedar's entities are built beforehand.
func decide(input *Input) ([]Figure, error) {
	ctx := context.Background()
	prepare := func(query string) (rego.PreparedEvalQuery, error) {
		return rego.New(rego.Query(query), rego.Module("policy.rego", input.Rules)).PrepareForEval(ctx)
	}
	one, err := prepare("data.tamis.allow")
	if err != nil {
		return nil, err
	}
	many, err := prepare("data.tamis.allowed")
	if err != nil {
		return nil, err
	}
	parsed := make([]ast.Value, len(input.Chunks))
	for number, chunk := range input.Chunks {
		parsed[number], err = ast.InterfaceToValue(map[string]any{"action": input.Action, "subject": input.Subject, "chunk": chunk})
		if err != nil {
			return nil, err
		}
	}
	allows := func(number int) (bool, error) {
		results, err := one.Eval(ctx, rego.EvalParsedInput(parsed[number]))
		return results.Allowed(), err
	}
	for number, expected := range input.Decisions {
		if allowed, err := allows(number); err != nil || allowed != expected {
			return nil, fmt.Errorf("chunk %d: %v, %v; the others say %v", number, allowed, err, expected)
		}
	}
	var figures []Figure
	for _, batch := range input.Batches {
		together, err := ast.InterfaceToValue(map[string]any{"action": input.Action, "subject": input.Subject, "chunks": input.Chunks[:batch]})
		if err != nil {
			return nil, err
		}
		ask := func() (rego.ResultSet, error) { return many.Eval(ctx, rego.EvalParsedInput(together)) }
		if err := compare(ask, input.Decisions[:batch]); err != nil {
			return nil, err
		}
		each, err := measure(input, batch, func() error {
			for number := range batch {
				if _, err := allows(number); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		once, err := measure(input, batch, func() error { _, err := ask(); return err })
		if err != nil {
			return nil, err
		}
		figures = append(figures, Figure{"OPA, library", batch, each}, Figure{"OPA, library, all in one evaluation", batch, once})
	}
	return figures, nil
}

// Compares what one evaluation says of many chunks.
func compare(ask func() (rego.ResultSet, error), expected []bool) error {
	results, err := ask()
	if err != nil {
		return err
	}
	if len(results) != 1 {
		return fmt.Errorf("%d results", len(results))
	}
	allowed, _ := results[0].Expressions[0].Value.([]any)
	for number, expected := range expected {
		if slices.Contains(allowed, any(json.Number(fmt.Sprint(number)))) != expected {
			return fmt.Errorf("chunk %d of many: the others say %v", number, expected)
		}
	}
	return nil
}

// What is known before there is a chunk: partial evaluation, and the filter in SQL that OPA makes of it.
func filter(input *Input) ([]Figure, error) {
	ctx := context.Background()
	asked := map[string]any{"action": input.Action, "subject": input.Subject}
	value, err := ast.InterfaceToValue(asked)
	if err != nil {
		return nil, err
	}
	prepared, err := rego.New(
		rego.Query("data.tamis.readable(input.chunk)"),
		rego.Module("policy.rego", input.Rules),
		rego.Unknowns([]string{"input.chunk"}),
	).PrepareForPartial(ctx)
	if err != nil {
		return nil, err
	}
	partial, err := measure(input, 1, func() error {
		_, err := prepared.Partial(ctx, rego.EvalParsedInput(value))
		return err
	})
	if err != nil {
		return nil, err
	}
	filters, err := compile.New(
		compile.Target("sql", "postgresql"),
		compile.ParsedUnknowns(ast.MustParseTerm("input.chunks"), ast.MustParseTerm("input.chunk_roles")),
		compile.ParsedQuery(ast.MustParseBody("data.filters.include")),
		compile.Rego(rego.Module("filters.rego", input.Filters)),
	).Prepare(ctx)
	if err != nil {
		return nil, err
	}
	said, err := filters.Compile(ctx, rego.EvalParsedInput(value))
	if err != nil {
		return nil, err
	}
	if query, _ := said.One().Query.(string); query == "" {
		return nil, fmt.Errorf("OPA made no filter")
	}
	sql, err := measure(input, 1, func() error {
		_, err := filters.Compile(ctx, rego.EvalParsedInput(value))
		return err
	})
	return []Figure{{"OPA, partial evaluation", 0, partial}, {"OPA, data filter in SQL", 0, sql}}, err
}

// The median time of a call, for each of so many chunks.
func measure(input *Input, chunks int, call func() error) (float64, error) {
	if err := call(); err != nil {
		return 0, err
	}
	limit := time.Duration(input.Milliseconds) * time.Millisecond
	var samples []time.Duration
	for begun := time.Now(); len(samples) < 5 || time.Since(begun) < limit; {
		start := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		samples = append(samples, time.Since(start))
	}
	slices.Sort(samples)
	return float64(samples[len(samples)/2].Nanoseconds()) / float64(chunks), nil
}
