export { createOpenAICompatibleModel, type OpenAICompatibleOptions } from "./openai-compatible-model.ts";
