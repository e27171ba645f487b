/**
 * The schemas of the wire format, with their documentation, for `HttpApi`, OpenAPI and other programs on Effect's `Schema`. The client does not
 * load them. The types are those of `ChatCompletion`.
 *
 * @since 0.1.0
 */
export * from "./contract/schemas.generated.ts"
