package ssm

import (
	"slices"
	"strings"

	"ssmlocal/server/apierr"
)

// A DBAccount is one of the two database accounts of a product secret. They
// have equal rights; a rotation gives the one that is not in use a new password
// and makes it the current one.
type DBAccount struct {
	Name      string `cbor:"1,keyasint"`
	Version   string `cbor:"2,keyasint,omitempty"` // SSM_Current, or the history version that has it last; "" before its first use
	RotatedAt int64  `cbor:"3,keyasint,omitempty"` // unix nanoseconds
}

// CheckProduct reports whether a ProductName can have a product secret: the
// databases that DescribeSupportedProducts lists, and MongoDB, which the
// Terraform provider's documentation has. PostgreSQL and SQL Server exist too,
// but their identifiers are not public.
func CheckProduct(name string) error {
	databases := append(Products()[:3], "MongoDB")
	if !slices.Contains(databases, name) {
		return apierr.BadChoice.With("ProductName", strings.Join(databases, ", "))
	}
	return nil
}

// CheckPrefix checks the form of a UserNamePrefix: at most 8 characters, a
// letter first, then letters, digits and _.
func CheckPrefix(prefix string) error {
	ok := len(prefix) > 0 && len(prefix) <= 8 && isLetter(prefix[0])
	for i := range len(prefix) {
		ok = ok && (isAlnum(prefix[i]) || prefix[i] == '_')
	}
	if !ok {
		return apierr.BadPrefix.With()
	}
	return nil
}

func isLetter(c byte) bool { return isAlnum(c) && (c < '0' || c > '9') }

// maxDomains bounds the hosts of an account (S: no number is documented).
const maxDomains = 1000

// CheckDomains checks the form of the hosts from which an account may connect:
// an address or a pattern with %.
func CheckDomains(domains []string) error {
	bad := func(d string) bool {
		return d == "" || len(d) > 60 || strings.ContainsAny(d, " \t\r\n'\"`;@")
	}
	if len(domains) == 0 || len(domains) > maxDomains || slices.ContainsFunc(domains, bad) {
		return apierr.InvalidParameterValue.With("Domains")
	}
	return nil
}

// A PrivilegeUnit is the privileges of a database account at one level: everything, a database, a table, a column.
type PrivilegeUnit struct {
	PrivilegeName               string
	Privileges                  []string
	Database, TableName, Column string
}

// The documented privileges of each level (1140/58266, ProductPrivilegeUnit).
// Some names are written with a space.
var (
	columnPrivileges   = []string{"SELECT", "INSERT", "UPDATE", "REFERENCES"}
	tablePrivileges    = append(slices.Clone(columnPrivileges), "DELETE", "CREATE", "DROP", "INDEX", "ALTER", "CREATE VIEW", "SHOW VIEW", "TRIGGER")
	databasePrivileges = append(slices.Clone(tablePrivileges), "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT")
	globalPrivileges   = append(slices.Clone(databasePrivileges), "PROCESS", "SHOW DATABASES")
)

// CheckPrivileges checks a list of privileges against the documented names of
// each level, and requires the names of what they are for. For databases other
// than MySQL only the names of the levels are known: their privileges are not
// documented.
func CheckPrivileges(units []PrivilegeUnit) error {
	if len(units) == 0 {
		return apierr.InvalidParameterValue.With("PrivilegesList")
	}
	for _, u := range units {
		if err := u.check(); err != nil {
			return err
		}
	}
	return nil
}

func (u *PrivilegeUnit) check() error {
	var known, names []string
	switch u.PrivilegeName {
	case "GlobalPrivileges":
		known = globalPrivileges
	case "DatabasePrivileges":
		known, names = databasePrivileges, []string{u.Database}
	case "TablePrivileges":
		known, names = tablePrivileges, []string{u.Database, u.TableName}
	case "ColumnPrivileges":
		known, names = columnPrivileges, []string{u.Database, u.TableName, u.Column}
	case "SchemaPrivileges", "SequencePrivileges", "ProcedurePrivileges", "TypePrivileges", "FunctionPrivileges",
		"ViewPrivileges", "MatviewPrivileges":
		known = u.Privileges
	default:
		return apierr.BadChoice.With("PrivilegeName", "GlobalPrivileges, DatabasePrivileges, TablePrivileges, ColumnPrivileges")
	}
	if slices.Contains(names, "") {
		return apierr.PrivilegeWithoutName.With(u.PrivilegeName)
	}
	for _, p := range u.Privileges {
		if !slices.Contains(known, p) {
			return apierr.BadPrivilege.With(p, u.PrivilegeName)
		}
	}
	if len(u.Privileges) == 0 {
		return apierr.InvalidParameterValue.With("Privileges")
	}
	return nil
}
