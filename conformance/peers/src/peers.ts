/**
 * The peers, by the name of their package, and our providers for the libraries of others. Each is loaded when it is asked for: a process of the suite
 * runs one of them.
 */
import type { Subject } from "@paradigm-effect/conformance/Subject"

type Load = () => Promise<Subject>

export const peers: Readonly<Record<string, Load>> = {
  openai: async () => (await import("./openai.ts")).openai,
  ai: async () => (await import("./ai.ts")).ai,
  "groq-sdk": async () => (await import("./openai.ts")).groq,
  "@langchain/openai": async () => (await import("./langchain.ts")).langchain,
  "@mistralai/mistralai": async () => (await import("./mistral.ts")).mistral
}

export const providers: Readonly<Record<string, Load>> = {
  "effect-ai": async () => (await import("./effect-ai.ts")).effectAi,
  "ai-sdk": async () => (await import("./ai-sdk-paradigm.ts")).aiSdk
}
