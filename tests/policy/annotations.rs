//! What is said of annotations that are wrong.

use super::placed;

#[test]
fn mistakes_in_annotations_are_placed() {
    placed(&[
        (
            "@approvls(\"2\") permit(principal, action, resource);",
            "policy.cedar:1:1: unknown annotation @approvls",
        ),
        (
            "\n @vault_role(\"../dev\") permit(principal, action, resource);",
            "policy.cedar:2:2: the name of a token role",
        ),
        (
            "@cache(\"0s\") permit(principal, action, resource);",
            "policy.cedar:1:1: @cache is a time from 1s to 24h",
        ),
        (
            "@cache(\"1m\") @stale(\"never\") permit(principal, action, resource);",
            "policy.cedar:1:14: @stale is a time",
        ),
        (
            "@cache(\"1m\") @stale(\"30s\") permit(principal, action, resource);",
            "policy.cedar:1:14: @stale is counted from",
        ),
        (
            "@stale(\"30s\") permit(principal, action, resource);",
            "policy.cedar:1:1: @stale says how long",
        ),
        (
            "@cache(\"1m\") forbid(principal, action, resource);",
            "policy.cedar:1:1: @cache says how a permit is carried out",
        ),
        (
            "// permit(principal, action, resource);\n\
             @id(\"a\") permit(principal, action, resource);\n \
             @id(\"a\") permit(principal, action, resource);",
            "policy.cedar:3:2: the id \"a\" is taken: policy.cedar:2:1: has it too",
        ),
        (
            "// @x permit(principal, action, resource);\n\
             permit(principal, action, resource); @x permit(principal, action, resource);",
            "policy.cedar:2:38: unknown annotation @x",
        ),
    ]);
}
