# METADATA
# scope: package
# description: The same rules for OPA's data filters, which know no arrays; what a chunk's roles are stands in a table of its own.
# compile:
#   unknowns: [input.chunks, input.chunk_roles]
package filters

include if {
	input.chunks.tenant == input.subject.tenant
	granted
}

granted if {
	input.action == "retrieve"
	input.chunks.access_level <= input.subject.clearance
	input.chunk_roles.role in input.subject.roles
}

granted if {
	input.action == "index"
	"indexer" in input.subject.roles
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 3
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 4
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 5
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 6
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 0
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 1
	input.chunk_roles.role == "employee"
}

granted if {
	input.action == "retrieve"
	"employee" in input.subject.roles
	input.chunks.access_level == 2
	input.chunk_roles.role == "employee"
}
