// Renders the chart's templates by Go's own text/template with Sprig's functions, as Helm does, where Helm itself is not at hand.
// Reads {"templates": {name: text}, "values": [values …]}, writes [{name: text} …]. A value that is not there is an error.
// Built by test/e2e/chart-engine.ts from Debian's golang-github-masterminds-sprig-dev alone: nothing is downloaded.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
)

type order struct {
	Templates map[string]string `json:"templates"`
	Values    []map[string]any  `json:"values"`
}

func rendered(all *template.Template, values map[string]any) (map[string]string, error) {
	release := map[string]any{"Name": "gyre", "Namespace": "kv", "Service": "Helm"}
	scope := map[string]any{"Values": values, "Release": release}
	texts := map[string]string{}
	for _, one := range all.Templates() {
		var text strings.Builder
		if err := one.Execute(&text, scope); err != nil {
			return nil, err
		}
		texts[one.Name()] = text.String()
	}
	return texts, nil
}

func run() error {
	var asked order
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	all := template.New("chart").Option("missingkey=error").Funcs(sprig.TxtFuncMap())
	for name, text := range asked.Templates {
		if _, err := all.New(name).Parse(text); err != nil {
			return err
		}
	}
	results := []map[string]string{}
	for _, values := range asked.Values {
		texts, err := rendered(all, values)
		if err != nil {
			return err
		}
		results = append(results, texts)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
