/**
 * The messages of a conversation as a request carries them, their parts, and the calls in them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { JsonObject, object, open, openString, optional, string } from "./schema.ts"

/**
 * Who a message is from.
 *
 * @category messages
 * @since 0.1.0
 */
export const Role = openString(["system", "developer", "user", "assistant", "function", "tool"])
/** @since 0.1.0 */
export type Role = typeof Role.Type

/**
 * A call that the model makes to a tool. `arguments` is the JSON text exactly as the model wrote it: it may be invalid JSON.
 *
 * @category messages
 * @since 0.1.0
 */
export const ToolCall = open({
  id: string("What the answering tool message refers to"),
  type: string("The kind of tool, function"),
  function: open({
    name: Schema.String.annotateKey({ description: "The function's name" }),
    arguments: Schema.String.annotateKey({ description: "Its arguments, a JSON text" })
  }).annotateKey({ description: "The function that is called" })
}).annotate({ identifier: "ToolCall" })
/** @since 0.1.0 */
export type ToolCall = typeof ToolCall.Type

const media = (description: string) =>
  optional(
    Schema.Union([
      open({
        url: Schema.String.annotateKey({ description: "An http, https or data URL" }),
        detail: optional(openString(["auto", "low", "high"]), "How closely an image is looked at")
      }),
      Schema.String
    ]),
    description
  )

/**
 * One part of a message's content: `type` says which of the other fields it has. What a model takes depends on the model.
 *
 * @category messages
 * @since 0.1.0
 */
export const ContentPart = open({
  type: optional(
    openString(["text", "image_url", "input_audio", "audio_url", "video_url", "file", "refusal", "image_embeds", "audio_embeds"]),
    "The kind of part"
  ),
  text: string("Plain text"),
  image_url: media("An image, by URL or as a data URL"),
  audio_url: media("A recording, by URL or as a data URL"),
  video_url: media("A video, by URL or as a data URL"),
  input_audio: optional(
    open({
      data: Schema.String.annotateKey({ description: "The recording, base64" }),
      format: Schema.String.annotateKey({ description: "Its format, as wav or mp3" })
    }),
    "A recording in the request itself"
  ),
  file: optional(
    open({
      file_id: string("An uploaded file's id"),
      file_data: string("The file itself, base64 or a data URL"),
      filename: string("The file's name")
    }),
    "A file"
  ),
  image_embeds: optional(Schema.Union([JsonObject, Schema.String]), "An image that is already embedded, base64"),
  audio_embeds: optional(Schema.Union([JsonObject, Schema.String]), "A recording that is already embedded, base64"),
  refusal: string("An assistant's words when it refused"),
  uuid: string("A name for the media, by which the model server finds it in its cache")
}).annotate({ identifier: "ContentPart" })
/** @since 0.1.0 */
export type ContentPart = typeof ContentPart.Type

/**
 * A message of the conversation, as it is sent.
 *
 * @category messages
 * @since 0.1.0
 */
export const ChatMessage = open({
  role: Role.annotateKey({ description: "Who the message is from" }),
  content: optional(
    Schema.NullOr(Schema.Union([Schema.String, Schema.Array(ContentPart)])),
    "The text, or a list of parts; null where an assistant only called tools"
  ),
  name: string("The author's name"),
  function_call: object("The function an assistant called (superseded by tool_calls)"),
  tool_calls: optional(Schema.Array(ToolCall), "The tools an assistant called"),
  tool_call_id: string("The call a tool message answers"),
  refusal: string("An assistant's words when it refused"),
  reasoning: string("What an assistant thought before it answered, for models that take it back"),
  reasoning_content: string("The same, as older images name it")
}).annotate({ identifier: "ChatMessage" })
/** @since 0.1.0 */
export type ChatMessage = typeof ChatMessage.Type
