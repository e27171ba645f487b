/**
 * A model as callers see it.
 */
import { GatewayFailure } from "./GatewayFailure.ts"

/** A model in a list: OpenAI's members, and the two without which Mistral's client does not read the id. */
export const card = (id: string) => ({
  id,
  object: "model",
  created: 0,
  owned_by: "paradigm",
  type: "base",
  capabilities: { completion_chat: true, function_calling: true }
})

/** An unknown model and one that the key may not use get the same answer, so that names do not leak. */
export const unknownModel = (name: string) => {
  const shown = name.length <= 200 ? name : `${name.slice(0, 200)}…`
  return new GatewayFailure({
    status: 404,
    detail: `The model "${shown}" does not exist, or this key may not use it.`,
    code: "model_not_found"
  })
}
