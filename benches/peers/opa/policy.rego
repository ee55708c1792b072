# The ten Cedar policies of benches/src/cedar.rs in Rego, rule for rule. The benchmarks refuse to measure if one engine decides otherwise.
package tamis

# One chunk.
default allow := false

allow if readable(input.chunk)

# Many chunks in one evaluation: the numbers of those that may be read.
allowed contains number if {
	some number, chunk in input.chunks
	readable(chunk)
}

# forbid unless the tenants are the same
readable(chunk) if {
	chunk.tenant == input.subject.tenant
	granted(chunk)
}

granted(chunk) if {
	input.action == "retrieve"
	chunk.access_level <= input.subject.clearance
	some role in chunk.user_roles
	role in input.subject.roles
}

granted(_) if {
	input.action == "index"
	"indexer" in input.subject.roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 3
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 4
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 5
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 6
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 0
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 1
	"employee" in chunk.user_roles
}

granted(chunk) if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	chunk.access_level == 2
	"employee" in chunk.user_roles
}
