package ssm

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"ssmlocal/server/apierr"
)

// AccountMark is in the name of every account that the service makes in a
// database (official examples: remm_SSM_hQ4, lif_SSM_94G). No other account is
// ever touched.
const AccountMark = "_SSM_"

// A Login is a database account with its password: what a secret's value says.
type Login struct {
	UserName string `cbor:"1,keyasint"`
	Password string `cbor:"2,keyasint"`
}

// IsZero reports whether there is none.
func (l Login) IsZero() bool { return l == Login{} }

// ParseLogin reads the value of a secret of a database account.
func ParseLogin(value string) (l Login, ok bool) {
	err := json.Unmarshal([]byte(value), &l)
	return l, err == nil && l.UserName != "" && l.Password != ""
}

// A Binding says which real database stands behind an instance of an account.
type Binding struct {
	InstanceID string `cbor:"1,keyasint"`
	URL        string `cbor:"2,keyasint"` // such as mysql://admin:password@host:3306/, see server/instance
}

// A DBAccount is one of the two database accounts of a product secret. They
// have equal rights; a rotation gives the one that is not in use a new password
// and makes it the current one.
type DBAccount struct {
	Name      string `cbor:"1,keyasint"`
	Version   string `cbor:"2,keyasint,omitempty"` // SSM_Current, or the history version that has it last; "" before its first use
	RotatedAt int64  `cbor:"3,keyasint,omitempty"` // unix nanoseconds
}

// Next returns the account whose turn it is: the one that rests, or the first
// if none is in use.
func (s *Secret) Next() *DBAccount {
	next := &s.Accounts[0]
	if s.Current() == next {
		next = &s.Accounts[1]
	}
	return next
}

// CheckProduct returns an error unless a ProductName can have a product secret:
// the databases that DescribeSupportedProducts lists, and MongoDB, which the
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
		return d == "" || len(d) > 60 || strings.ContainsAny(d, " '\"`;@") || strings.ContainsFunc(d, unicode.IsControl)
	}
	if len(domains) == 0 || len(domains) > maxDomains || slices.ContainsFunc(domains, bad) {
		return apierr.InvalidParameterValue.With("Domains")
	}
	return nil
}

// A PrivilegeUnit is the privileges of a database account at one level:
// PrivilegeName says which, and the names say of what. Column, schema and the
// others are "" where the level has none.
type PrivilegeUnit struct {
	PrivilegeName string   `cbor:"1,keyasint" yaml:"privilegeName"` // such as DatabasePrivileges
	Privileges    []string `cbor:"2,keyasint" yaml:"privileges"`    // such as SELECT

	Database  string `cbor:"3,keyasint,omitempty" yaml:"database,omitempty"`
	Table     string `cbor:"4,keyasint,omitempty" yaml:"tableName,omitempty"`
	Column    string `cbor:"5,keyasint,omitempty" yaml:"columnName,omitempty"`
	Schema    string `cbor:"6,keyasint,omitempty" yaml:"schemaName,omitempty"`
	Sequence  string `cbor:"7,keyasint,omitempty" yaml:"sequenceName,omitempty"`
	Procedure string `cbor:"8,keyasint,omitempty" yaml:"procedureName,omitempty"`
	Type      string `cbor:"9,keyasint,omitempty" yaml:"typeName,omitempty"`
	Function  string `cbor:"10,keyasint,omitempty" yaml:"functionName,omitempty"`
	View      string `cbor:"11,keyasint,omitempty" yaml:"viewName,omitempty"`
	Matview   string `cbor:"12,keyasint,omitempty" yaml:"matviewName,omitempty"`
}

// The documented privileges of each level (1140/58266, ProductPrivilegeUnit).
// Some names are written with a space.
var (
	columnPrivileges   = []string{"SELECT", "INSERT", "UPDATE", "REFERENCES"}
	tablePrivileges    = append(slices.Clone(columnPrivileges), "DELETE", "CREATE", "DROP", "INDEX", "ALTER", "CREATE VIEW", "SHOW VIEW", "TRIGGER")
	databasePrivileges = append(slices.Clone(tablePrivileges), "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT")
	globalPrivileges   = append(slices.Clone(databasePrivileges), "PROCESS", "SHOW DATABASES")
)

// IsMySQL reports whether a ProductName is one of the databases whose
// privileges are documented.
func IsMySQL(product string) bool { return slices.Contains(Products()[:3], product) }

// CheckPrivileges holds a list of privileges to their form, and asks for the
// names of what they are for. The privileges of MySQL are held to the
// documented names of each level; those of other databases are not documented,
// so that any word is taken (the Terraform provider's example for MongoDB has
// READ_ONLY).
func CheckPrivileges(product string, units []PrivilegeUnit) error {
	if len(units) == 0 || len(units) > maxPrivileges {
		return apierr.InvalidParameterValue.With("PrivilegesList")
	}
	for _, u := range units {
		if err := u.check(IsMySQL(product)); err != nil {
			return err
		}
	}
	return nil
}

// maxPrivileges bounds the units of a list, and the privileges of a unit (S: no
// number is documented).
const maxPrivileges = 1000

// level is a PrivilegeName: MySQL's documented privileges there, and which
// names must be given.
type level struct {
	name  string
	mysql []string // nil where none are documented
	names func(*PrivilegeUnit) []string
}

var levels = []level{
	{"GlobalPrivileges", globalPrivileges, func(*PrivilegeUnit) []string { return nil }},
	{"DatabasePrivileges", databasePrivileges, func(u *PrivilegeUnit) []string { return []string{u.Database} }},
	{"TablePrivileges", tablePrivileges, func(u *PrivilegeUnit) []string { return []string{u.Database, u.Table} }},
	{"ColumnPrivileges", columnPrivileges, func(u *PrivilegeUnit) []string { return []string{u.Database, u.Table, u.Column} }},
	{"SchemaPrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Schema} }},
	{"SequencePrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Sequence} }},
	{"ProcedurePrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Procedure} }},
	{"TypePrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Type} }},
	{"FunctionPrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Function} }},
	{"ViewPrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.View} }},
	{"MatviewPrivileges", nil, func(u *PrivilegeUnit) []string { return []string{u.Matview} }},
}

func (u *PrivilegeUnit) check(mysql bool) error {
	i := slices.IndexFunc(levels, func(l level) bool { return l.name == u.PrivilegeName })
	if i < 0 {
		return apierr.BadChoice.With("PrivilegeName", "GlobalPrivileges, DatabasePrivileges, TablePrivileges, ColumnPrivileges")
	}
	l := levels[i]
	if slices.Contains(l.names(u), "") {
		return apierr.PrivilegeWithoutName.With(u.PrivilegeName)
	}
	for _, name := range u.all() {
		if len(name) > MaxID || strings.ContainsFunc(name, unicode.IsControl) {
			return apierr.InvalidParameterValue.With("PrivilegesList")
		}
	}
	if len(u.Privileges) == 0 || len(u.Privileges) > maxPrivileges {
		return apierr.InvalidParameterValue.With("Privileges")
	}
	for _, p := range u.Privileges {
		if mysql && l.mysql != nil && !slices.Contains(l.mysql, p) || !privilege.MatchString(p) {
			return apierr.BadPrivilege.With(p, u.PrivilegeName)
		}
	}
	return nil
}

// all are the names of what the privileges are for.
func (u *PrivilegeUnit) all() []string {
	return []string{
		u.Database, u.Table, u.Column, u.Schema, u.Sequence, u.Procedure, u.Type, u.Function, u.View, u.Matview,
	}
}

// privilege is the form of a privilege: words, and Redis's categories such as
// +@read.
var privilege = regexp.MustCompile(`^[+-]?@?[A-Za-z][A-Za-z0-9_| -]{0,63}$`)
