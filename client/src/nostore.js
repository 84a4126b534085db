/**
 * Stands for the store where there is none: see store.js. Functions that do nothing,
 * so that the builder leaves out the calls.
 */
import { w } from "./env.js";

export function aim() {}
export function drop() {}
export function gone() {}
export function handed() {}
export function save() {}
export function saved() {}
export function letGo() {}
export function purge() {}
export function recover() {}
export function recoverSoon() {}
export function renew() {}
export function sync() {}

/** It throws where the browser keeps a page from storing. @returns {Record<string, any>} */
export const storage = () => w.localStorage;
