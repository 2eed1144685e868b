export { createAnthropicApi } from "./anthropic-api.ts";
