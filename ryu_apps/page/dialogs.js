// Two questions to whoever sits there: for the token, and whether it is meant so. Both are the
// browser's own dialogs, with its keyboard and focus.

/** What was typed; null if the question was waved away. */
export async function askToken(refusal) {
  const dialog = document.getElementById("ask-token");
  const field = dialog.querySelector("input");
  dialog.querySelector(".refusal").textContent = refusal;
  field.value = "";
  const said = await shown(dialog);
  const token = field.value.trim();
  field.value = "";
  return said && token ? token : null;
}

/** true or false */
export async function confirmed(title, text, verb) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = text;
  dialog.querySelector("button.main").textContent = verb;
  return shown(dialog);
}

function shown(dialog) {
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    const cancel = dialog.querySelector("button[value=cancel]");
    let said = false;
    const submitted = () => {
      said = true;
    };
    const cancelled = () => dialog.close();
    form.addEventListener("submit", submitted);
    cancel.addEventListener("click", cancelled);
    dialog.addEventListener(
      "close",
      () => {
        form.removeEventListener("submit", submitted);
        cancel.removeEventListener("click", cancelled);
        resolve(said);
      },
      { once: true },
    );
    dialog.showModal();
  });
}
