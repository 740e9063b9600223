// Orders to the app. Its token is asked for once, and kept as long as this tab is open.

import { Refusal, order } from "./app.js";
import { askToken } from "./dialogs.js";

const KEY = "synod-token";
const WRONG_TOKEN = 401;
const IMPOSSIBLE = 409; // the token was right, what was ordered can't be done

/** true once it is done, false if nobody gave a token. NoAnswer; Refusal with the app's words. */
export async function give(path, body = null) {
  let token = sessionStorage.getItem(KEY) ?? (await askToken(""));
  while (token !== null) {
    try {
      await order(path, body, token);
      sessionStorage.setItem(KEY, token);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === IMPOSSIBLE) sessionStorage.setItem(KEY, token);
      if (error.code !== WRONG_TOKEN) throw error;
      sessionStorage.removeItem(KEY);
      token = await askToken(error.message);
    }
  }
  return false;
}
