/** A success or a failure. */
export type Result<A, E = never> = { readonly _tag: "Success"; readonly success: A } | { readonly _tag: "Failure"; readonly failure: E }
