// Sends the one form of the page that carries an answer back to an application; without scripts a person
// presses its button.
document.forms[0].submit();
