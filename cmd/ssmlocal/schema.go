package main

import "ssmlocal/fixtures"

type schemaCommand struct{}

// Run prints the schema of seeds. It needs no server.
func (schemaCommand) Run(t terminal) error {
	_, err := t.out.Write(fixtures.SeedSchema())
	return err
}
