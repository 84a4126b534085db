/** The automatic events as a module, to be started with auto(). */
export { auto } from "./auto.js";
