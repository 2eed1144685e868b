export { systemTimeZones } from "./system-time-zones.ts";
