/**
 * Responses and tools typed by a schema of any library that implements Standard Schema: zod, valibot, Effect and others. For the client with
 * promises. `StructuredOutput` and `ChatTool` are the counterparts for programs with Effect.
 *
 * A schema needs a JSON Schema for the model. zod schemas have one. A valibot schema gets it from `toStandardJsonSchema` of
 * `@valibot/to-json-schema`, and an Effect schema from `Schema.toStandardSchemaV1` and `Schema.toStandardJSONSchemaV1`. Otherwise give
 * `jsonSchema`.
 *
 * @since 0.1.0
 */
import type {
  ChatCompletion,
  ChatCompletionChoice,
  ChatMessage,
  ChatMessageResponse,
  FunctionToolCall,
  JsonObject,
  JsonSchemaResponseFormat
} from "./ChatCompletion.ts"
import { decodeJson, jsonSchemaFor } from "./tools/standardJson.ts"

/**
 * A schema that validates values of type `T`: https://standardschema.dev
 *
 * @category models
 * @since 0.1.0
 */
export interface StandardSchema<out T> {
  readonly "~standard": {
    readonly version: 1
    /** The library. */
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<T> | Promise<SchemaResult<T>>
    readonly types?: { readonly input: unknown; readonly output: T } | undefined
    readonly jsonSchema?:
      | { readonly input: (options: { readonly target: "draft-2020-12" | "draft-07" }) => Record<string, unknown> }
      | undefined
  }
}

/**
 * A valid value, or the problems of an invalid one.
 *
 * @category models
 * @since 0.1.0
 */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | {
      readonly issues: ReadonlyArray<{
        readonly message: string
        readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
      }>
    }

/**
 * A `response_format` with its schema.
 *
 * @category models
 * @since 0.1.0
 */
export interface SchemaFormat<out T> extends JsonSchemaResponseFormat {
  /** The schema. It is not sent. */
  readonly "~schema": StandardSchema<T>
}

/**
 * A message whose text was decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParsedMessage<out T> extends ChatMessageResponse {
  /**
   * The decoded text. `null` if the model refused or called a tool instead. It is not enumerable, so that a message that is sent again does not
   * contain it.
   */
  readonly parsed: T | null
}

/**
 * A choice whose text was decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParsedChoice<out T> extends ChatCompletionChoice {
  readonly message: ParsedMessage<T>
}

/**
 * A completion whose texts were decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParsedCompletion<out T> extends ChatCompletion {
  readonly choices: ReadonlyArray<ParsedChoice<T>>
}

/**
 * Options of {@link responseFormat}.
 *
 * @category options
 * @since 0.1.0
 */
export interface FormatOptions {
  /** Purpose of the schema, for the model. */
  readonly description?: string | undefined
  /** The JSON Schema, for schemas that have none. */
  readonly jsonSchema?: JsonObject | undefined
  /** Whether the text must match the schema exactly. Defaults to `true`. */
  readonly strict?: boolean | undefined
}

/**
 * Creates the `response_format` of a schema, with a name and a description for the model. `parse` and `stream` also accept the schema itself.
 * Throws a `ParadigmError` with the reason `InvalidRequest` when the schema has no JSON Schema.
 *
 * @example
 * ```ts
 * import { StandardSchema } from "@paradigm-effect/core"
 * import * as Schema from "effect/Schema"
 *
 * const City = Schema.toStandardJSONSchemaV1(Schema.toStandardSchemaV1(Schema.Struct({ name: Schema.String })))
 * const format = StandardSchema.responseFormat(City, "city")
 * console.log(format.type, format.json_schema.name) // => json_schema city
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const responseFormat = <T>(schema: StandardSchema<T>, name = "answer", options: FormatOptions = {}): SchemaFormat<T> => {
  const { description, jsonSchema, strict = true } = options
  const format = {
    type: "json_schema" as const,
    json_schema: {
      name,
      ...(description === undefined ? {} : { description }),
      schema: jsonSchemaFor(schema, "response_format.json_schema.schema", jsonSchema),
      strict
    }
  }
  // Not enumerable, so that it is not sent.
  return Object.defineProperty(format, "~schema", { value: schema }) as SchemaFormat<T>
}

/**
 * The state of the run in which a tool is called.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolContext {
  /** The call of the model. */
  readonly toolCall: FunctionToolCall
  /** Is aborted when the run ends before the tool does. */
  readonly signal: AbortSignal
  /** The conversation so far. Messages that are added are sent with the next request. */
  readonly messages: Array<ChatMessage>
  /** Aborts the run. */
  readonly abort: () => void
}

/**
 * A tool with the function that executes it. `tools` of `runTools` takes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunnableTool<in Arguments = never> {
  readonly type: "function"
  readonly function: {
    /** Letters, digits, `_` and `-`, at most 64. Defaults to the name of the function. */
    readonly name?: string | undefined
    /** Purpose of the tool, for the model. */
    readonly description?: string | undefined
    /** Parameters as a JSON Schema of an object. */
    readonly parameters: object
    readonly strict?: boolean | undefined
    /** Decodes the JSON text of the arguments. The model receives the message of its exception. Defaults to the text itself. */
    readonly parse?: ((text: string) => unknown) | undefined
    /** Executes a call. The model receives the result: a string as it is, any other value as JSON. */
    readonly function: (args: Arguments, context: ToolContext) => unknown
  }
}

/**
 * Options of {@link tool}.
 *
 * @category options
 * @since 0.1.0
 */
export interface ToolOptions<T> {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string
  /** Purpose of the tool, for the model. */
  readonly description?: string | undefined
  /** A schema of an object. */
  readonly parameters: StandardSchema<T>
  /** The JSON Schema of the parameters, for schemas that have none. */
  readonly jsonSchema?: JsonObject | undefined
  /** Whether the arguments must match the schema exactly. */
  readonly strict?: boolean | undefined
  /** Executes a call with decoded arguments. The model receives the result: a string as it is, any other value as JSON. */
  readonly function: (args: T, context: ToolContext) => unknown
}

/**
 * Creates a tool for `runTools`. Its function receives decoded arguments. A model that sends arguments that do not match receives the problems.
 * Throws a `ParadigmError` with the reason `InvalidRequest` when the schema has no JSON Schema.
 *
 * @example
 * ```ts
 * import { StandardSchema } from "@paradigm-effect/core"
 * import * as Schema from "effect/Schema"
 *
 * const weather = StandardSchema.tool({
 *   name: "get_weather",
 *   description: "Current weather of a city",
 *   parameters: Schema.toStandardJSONSchemaV1(Schema.toStandardSchemaV1(Schema.Struct({ city: Schema.String }))),
 *   function: ({ city }) => ({ city, celsius: 21 })
 * })
 * console.log(weather.function.name) // => get_weather
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const tool = <T>(options: ToolOptions<T>): RunnableTool<T> => {
  const { description, function: execute, jsonSchema, name, parameters, strict } = options
  return {
    type: "function",
    function: {
      name,
      ...(description === undefined ? {} : { description }),
      parameters: jsonSchemaFor(parameters, `tools.${name}.parameters`, jsonSchema),
      ...(strict === undefined ? {} : { strict }),
      parse: async (text) => {
        // Model servers may stream a call without arguments and without their text: https://github.com/vllm-project/vllm/issues/28806
        const decoded = await decodeJson(parameters, text.trim() === "" ? "{}" : text)
        if ("problem" in decoded) throw new TypeError(decoded.problem)
        return decoded.value
      },
      function: execute
    }
  }
}
