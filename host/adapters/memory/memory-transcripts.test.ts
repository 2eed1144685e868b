import { transcriptsSuite } from "../../../contracts/suites/transcripts.ts";
import { MemoryTranscripts } from "./memory-transcripts.ts";

transcriptsSuite(() => new MemoryTranscripts());
