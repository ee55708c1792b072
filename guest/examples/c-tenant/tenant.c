/*
 * Tenants are isolated: a chunk is readable by principals whose `tenant` equals its own.
 *
 * For C programmers who are new to this: the contract is wit/policy.wit. generated/policy.h is the same contract in C,
 * and its last lines declare the three functions that a policy defines; they stand at the end of this file. Names
 * there begin with `exports_gates_`. Texts and lists are a pointer and a length, in elements; texts are UTF-8 and do
 * not end in a zero byte.
 *
 * Memory: an answer may point at literals, at static data and into the arguments. Nothing is freed by hand; runtime.c
 * drops everything that a call allocated once the host has read the answer.
 */

#include <string.h>

#include "policy.h"

/* Initialises a policy_string_t. */
#define TEXT(literal) {.ptr = (uint8_t *)(literal), .len = sizeof(literal) - 1}

/* A list of one element, made of an array of one. Nothing in this policy is longer. */
#define ONLY(array) {.ptr = (array), .len = 1}

static policy_string_t rule[] = {TEXT("tenant-isolation")};
static policy_string_t tenant_path[] = {TEXT("tenant")};

/* The one attribute of chunks that this policy reads. The host hands it over as a text, or as ill-typed. */
#define TENANT {.path = ONLY(tenant_path), .value_type = {.is_some = true, .val = TEXT("String")}}

static exports_gates_attribute_t tenant_attribute[] = {TENANT};

/* What to tell the operator when there is no tenant to compare. */
struct complaints {
    const char *absent;
    const char *not_text;
    const char *dangling;
};

static const struct complaints of_chunk = {
    .absent = "the chunk has no attribute `tenant`",
    .not_text = "attribute `tenant` of the chunk is not a text",
    .dangling = "attribute `tenant` of the chunk refers to a value that is not there",
};

static const struct complaints of_principal = {
    .absent = "the principal has no attribute `tenant`",
    .not_text = "attribute `tenant` of the principal is not a text",
    .dangling = "attribute `tenant` of the principal refers to a value that is not there",
};

static bool same_text(policy_string_t left, policy_string_t right) {
    return left.len == right.len && memcmp(left.ptr, right.ptr, left.len) == 0;
}

/*
 * Finds the text attribute `tenant`. Returns NULL, or why there is none; then `tenant` is left alone.
 *
 * The contract has no nested values: a field holds an index into a list of all values. Every index is checked before
 * use, although the host is trusted: an instance can read all of its memory, so a wrong index would not trap but find
 * some other bytes.
 */
static const char *find_tenant(
    const exports_gates_list_field_t *attributes,
    const exports_gates_list_value_t *values,
    const struct complaints *complaints,
    policy_string_t *tenant
) {
    for (size_t i = 0; i < attributes->len; i++) {
        const exports_gates_field_t *field = &attributes->ptr[i];
        if (!same_text(field->name, tenant_path[0])) {
            continue;
        }
        if (field->value >= values->len) {
            return complaints->dangling;
        }
        const exports_gates_value_t *value = &values->ptr[field->value];
        if (value->tag != EXPORTS_GATES_VALUE_TEXT) {
            return complaints->not_text;
        }
        *tenant = value->val.text;
        return NULL;
    }
    return complaints->absent;
}

/* As `find_tenant`, for whoever the call decides for: the user, or an agent that acts for the user. */
static const char *find_principal_tenant(const exports_gates_request_t *request, policy_string_t *tenant) {
    if (request->principal >= request->entities.len) {
        return "the principal is not among the request's entities";
    }
    const exports_gates_entity_t *principal = &request->entities.ptr[request->principal];
    return find_tenant(&principal->attributes, &request->values, &of_principal, tenant);
}

/* The list that reports `message`. Static, since one call makes one answer and no two calls overlap. */
static exports_gates_list_policy_error_t error_list(const char *message) {
    static exports_gates_policy_error_t errors[1];
    errors[0].policy = rule[0];
    policy_string_set(&errors[0].message, message);
    return (exports_gates_list_policy_error_t)ONLY(errors);
}

void exports_gates_describe(exports_gates_manifest_t *ret) {
    static exports_gates_footprint_attribute_t footprint[] = {{.attribute = TENANT, .optional = false}};
    static exports_gates_policy_info_t rules[] = {{.id = TEXT("tenant-isolation")}};
    *ret = (exports_gates_manifest_t){
        .contract = TEXT("0.1.0"),
        .name = TEXT("c-tenant"),
        .footprint = ONLY(footprint),
        .policies = ONLY(rules),
        .can_rewrite = true,
        .producer = TEXT("wit-bindgen-c 0.61"),
    };
}

void exports_gates_filter_chunk(
    exports_gates_request_t *request,
    exports_gates_chunk_t *chunk,
    exports_gates_decision_t *ret
) {
    policy_string_t wanted, found;
    const char *problem = find_principal_tenant(request, &wanted);
    if (problem == NULL) {
        problem = find_tenant(&chunk->attributes, &chunk->values, &of_chunk, &found);
    }
    /* Members that are not named are zero: no errors, nothing to redact. Without `allow` it is a denial. */
    if (problem != NULL) {
        *ret = (exports_gates_decision_t){.errors = error_list(problem)};
        return;
    }
    *ret = (exports_gates_decision_t){.allow = same_text(wanted, found), .reasons = ONLY(rule)};
}

/* The same rule as a filter, for the database: `tenant` equals the principal's, or nothing does. */
void exports_gates_rewrite_query(
    exports_gates_request_t *request,
    exports_gates_query_t *query,
    exports_gates_rewrite_t *ret
) {
    static exports_gates_node_t nodes[1];
    static exports_gates_operand_t operands[] = {{.tag = EXPORTS_GATES_OPERAND_ATTRIBUTE, .val.attribute = TENANT}};
    static exports_gates_value_t values[1];
    (void)query; /* Every collection is treated alike. */

    /* Exact either way: without a tenant, filter-chunk denies every chunk. */
    *ret = (exports_gates_rewrite_t){.filter.nodes = ONLY(nodes), .exact = true, .needs = ONLY(tenant_attribute)};
    policy_string_t tenant;
    const char *problem = find_principal_tenant(request, &tenant);
    if (problem != NULL) {
        nodes[0] = (exports_gates_node_t){.tag = EXPORTS_GATES_NODE_NEVER};
        ret->errors = error_list(problem);
        return;
    }
    values[0] = (exports_gates_value_t){.tag = EXPORTS_GATES_VALUE_TEXT, .val.text = tenant};
    /* Node 0, the root, compares operand 0 with value 0. */
    nodes[0] = (exports_gates_node_t){.tag = EXPORTS_GATES_NODE_EQUALS, .val.equals = {.operand = 0, .value = 0}};
    ret->filter.operands = (exports_gates_list_operand_t)ONLY(operands);
    ret->filter.values = (exports_gates_list_value_t)ONLY(values);
}
