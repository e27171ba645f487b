export * as ParadigmLanguageModel from "./ParadigmLanguageModel.ts"
