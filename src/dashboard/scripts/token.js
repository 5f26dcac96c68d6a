// The token: in this browser tab, and on the device if a person wants that.

/// Uses a token from now on. With `keep` the device has it after a restart too.
function useToken(token, keep) {
  sessionStorage.setItem("token", token);
  if (keep) localStorage.setItem("token", token);
}

/// Takes the token that the device keeps, where this tab has none.
function takeKeptToken() {
  const kept = localStorage.getItem("token");
  if (kept && !sessionStorage.getItem("token")) sessionStorage.setItem("token", kept);
}

function forgetToken() {
  sessionStorage.removeItem("token");
  localStorage.removeItem("token");
}
