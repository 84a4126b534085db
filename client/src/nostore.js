/**
 * Stands for the store where there is none: see store.js. Functions that do nothing,
 * so that the builder leaves out the calls.
 */
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
