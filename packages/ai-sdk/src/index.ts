export type { ParadigmChatOptions } from "./options.ts"
export { type ParadigmErrorData, type ParadigmFailure, paradigmErrorData } from "./errors.ts"
export { createParadigm, paradigm, type ParadigmProvider, type ParadigmProviderSettings, type ParadigmTimeouts } from "./provider.ts"
