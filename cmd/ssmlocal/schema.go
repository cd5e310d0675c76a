package main

import "ssmlocal/fixtures"

type schemaCommand struct{ format }

// Run prints the schema of seeds, which is JSON anyway. It needs no server.
func (schemaCommand) Run(t terminal) error {
	_, err := t.out.Write(fixtures.SeedSchema())
	return err
}
