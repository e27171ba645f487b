// The version in package.json, which a page should not load as JSON. A test compares them.
export const version = "0.0.0"
