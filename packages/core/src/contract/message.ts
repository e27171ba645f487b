// Messages of a request, their content parts and their tool calls.
import * as Schema from "effect/Schema"
import {
  alias,
  boolean,
  deprecated,
  group,
  JsonObject,
  model,
  nullable,
  number,
  openString,
  optional,
  required,
  SchemaOrText,
  string,
  tag,
  variants
} from "./schema.ts"

export const Role = alias(
  "Role",
  "The role of a message's author.",
  openString(["system", "developer", "user", "assistant", "function", "tool"])
)

const FunctionCall = model("FunctionCall", "The function of a tool call.", {
  name: required(Schema.String, "Name of the function."),
  arguments: required(Schema.String, "Arguments as JSON text. The model may write invalid JSON.")
})

// The endpoint's specification has no fields for the function call of a message.
export const FunctionCallDelta = model("FunctionCallDelta", "A function call, or a fragment of one.", {
  name: string("Name of the function."),
  arguments: string("Arguments as JSON text, or the next fragment of it.")
})

const CustomCall = model("CustomCall", "The custom tool of a tool call.", {
  name: required(Schema.String, "Name of the custom tool."),
  input: required(Schema.String, "Input as free text.")
})

const callId = string("Identifier of the call, for `tool_call_id` of the tool message.")

export const ToolCall = variants(
  "ToolCall",
  "A call that the model makes to a tool.",
  {
    FunctionToolCall: {
      description: "A call of a function.",
      fields: {
        id: callId,
        type: tag("function", "Kind.", false),
        function: required(FunctionCall, "Function and arguments.")
      }
    },
    CustomToolCall: {
      description: "A call of a custom tool.",
      fields: { id: callId, type: tag("custom", "Kind.", false), custom: required(CustomCall, "Custom tool and input.") }
    }
  },
  ["function", "custom"]
)

const MediaUrl = model("MediaUrl", "The address of an image, an audio or a video.", {
  url: required(Schema.String, "An http, https or data URL."),
  detail: optional(openString(["auto", "low", "high"]), "Resolution at which an image is processed.")
})

const mediaUrl = (description: string) => required(Schema.Union([MediaUrl, Schema.String]), description)

const InputAudio = model("InputAudio", "Inline audio.", {
  data: required(Schema.String, "Audio as base64."),
  format: required(openString(["wav", "mp3"]), "Format of the audio.")
})

const InputFile = model("InputFile", "An uploaded or inline file.", {
  file_id: string("Identifier of an uploaded file."),
  file_data: string("File as base64 or as a data URL."),
  filename: string("Name of the file.")
})

const kind = (value: string) => tag(value, "Kind.", false)
const media = group("MediaFields", "Fields of a media part.", { uuid: string("Cache identifier of the media.") })

export const ContentPart = variants("ContentPart", "A part of a message's content.", {
  TextPart: {
    description: "Text.",
    fields: { type: kind("text"), text: required(Schema.String, "The text.") }
  },
  ImagePart: {
    description: "An image.",
    fields: { type: kind("image_url"), image_url: mediaUrl("Address of the image."), ...media }
  },
  InputAudioPart: {
    description: "Inline audio.",
    fields: { type: kind("input_audio"), input_audio: required(InputAudio, "The audio."), ...media }
  },
  AudioPart: {
    description: "Audio by URL.",
    fields: { type: kind("audio_url"), audio_url: mediaUrl("Address of the audio."), ...media }
  },
  VideoPart: {
    description: "A video by URL.",
    fields: { type: kind("video_url"), video_url: mediaUrl("Address of the video."), ...media }
  },
  FilePart: {
    description: "A file.",
    fields: { type: kind("file"), file: required(InputFile, "The file.") }
  },
  RefusalPart: {
    description: "A refusal of the assistant.",
    fields: { type: kind("refusal"), refusal: required(Schema.String, "Text of the refusal.") }
  },
  ThinkingPart: {
    description: "Reasoning of the assistant.",
    fields: {
      type: kind("thinking"),
      thinking: required(Schema.String, "Text of the reasoning."),
      closed: boolean("Whether the reasoning is complete.")
    }
  },
  ToolReferencePart: {
    description: "A reference to a deferred tool.",
    fields: { type: kind("tool_reference"), name: required(Schema.String, "Name of the tool.") }
  },
  ImageEmbedsPart: {
    description: "Image embeddings.",
    fields: { type: kind("image_embeds"), image_embeds: required(SchemaOrText, "Embeddings as base64."), ...media }
  },
  AudioEmbedsPart: {
    description: "Audio embeddings.",
    fields: { type: kind("audio_embeds"), audio_embeds: required(SchemaOrText, "Embeddings as base64."), ...media }
  }
})

const Audio = model("Audio", "An audio response.", {
  id: string("Identifier of the audio, for a later request."),
  data: string("Audio as base64."),
  transcript: string("Transcript of the audio."),
  expires_at: number("Time after which the identifier is invalid, in Unix seconds.")
})

const Annotation = model("Annotation", "A reference in the text.", {
  type: optional(openString(["url_citation"]), "Kind of the annotation."),
  url_citation: optional(JsonObject, "The cited page and its range in the text.")
})

export const generated = group("GeneratedFields", "Fields of a generated message.", {
  refusal: string("Text of a refusal."),
  reasoning: string("Reasoning that precedes the content."),
  reasoning_content: deprecated(Schema.String, "Reasoning that precedes the content.", "Name of `reasoning` before vLLM 0.12."),
  annotations: optional(Schema.Union([Schema.Array(Annotation), Annotation]), "References in the text."),
  audio: optional(Audio, "The audio response.")
})

const role = (value: string) => tag(value, "Role of the author.")
const Content = Schema.Union([Schema.String, Schema.Array(ContentPart)])
const written = group("WrittenFields", "Fields of other messages.", {
  content: required(Content, "Text or content parts."),
  name: string("Name of the author.")
})

export const ChatMessage = variants("ChatMessage", "A message of a request.", {
  SystemMessage: { description: "Instructions to the model.", fields: { role: role("system"), ...written } },
  DeveloperMessage: {
    description: "Instructions that precede a system message's.",
    fields: { role: role("developer"), ...written }
  },
  UserMessage: { description: "A message of the user.", fields: { role: role("user"), ...written } },
  AssistantMessage: {
    description: "A message of the model. A response's message is one.",
    fields: {
      role: role("assistant"),
      content: nullable(Content, "Text or content parts. Null when the message only calls tools."),
      name: written.name,
      tool_calls: optional(Schema.Array(ToolCall), "Tool calls of the message."),
      ...generated,
      function_call: deprecated(FunctionCallDelta, "Name and arguments of the called function.", "Use `tool_calls`.")
    }
  },
  ToolMessage: {
    description: "The result of a tool call.",
    fields: { role: role("tool"), ...written, tool_call_id: string("Identifier of the answered call.") }
  },
  FunctionMessage: {
    description: "The result of a function call.",
    fields: { role: role("function"), content: nullable(Content, "The result."), name: required(Schema.String, "Name of the function.") }
  }
})
