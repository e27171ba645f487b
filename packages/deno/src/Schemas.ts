/**
 * What is made of Effect's schemas, apart from the client so that it does not load them: the contract, tools and answers of a schema, and the
 * specification of the endpoint.
 */
export * as ChatTool from "@paradigm-effect/core/ChatTool"
export * as ContractSchema from "@paradigm-effect/core/ContractSchema"
export * as ParadigmApi from "@paradigm-effect/core/ParadigmApi"
export * as StructuredOutput from "@paradigm-effect/core/StructuredOutput"
