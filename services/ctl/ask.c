#include "ask.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "crypto.h"
#include "mem.h"

static int read_line(FILE *in, char *ret, size_t size, struct err *err)
{
	if (!fgets(ret, (int)size, in))
		return err_set(err, ERR_INVALID, "nothing was entered");
	ret[strcspn(ret, "\r\n")] = 0;
	return 0;
}

int ask_line(const char *question, const char *instead, bool echo, char *ret, size_t size,
	     struct err *err)
{
	struct termios before, quiet;
	bool has_tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	int r;

	if (!has_tty)
		return err_set_field(err, ERR_INVALID, NULL, instead,
				     "there is no terminal to ask at");
	quiet = before;
	if (!echo)
		quiet.c_lflag &= ~(tcflag_t)ECHO;
	/* Before the question: what is typed at it must not be thrown away. */
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	(void)fprintf(stderr, "%s: ", question);
	r = read_line(stdin, ret, size, err);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	if (!echo)
		(void)fputc('\n', stderr);
	return r;
}

static int password_from_file(const char *path, char *ret, size_t size, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *text = NULL;
	size_t len;
	int r;

	if (strcmp(path, "-") == 0)
		return read_line(stdin, ret, size, err);
	r = place_read_file(path, size - 1, &text, &len, err);
	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = 0;
	memcpy(ret, text, strlen(text) + 1);
	crypto_wipe(text, len);
	return 0;
}

int ask_password(const struct ctl *ctl, bool is_new, char ret[ASK_MAX_BYTES], struct err *err)
{
	char again[ASK_MAX_BYTES];
	int r;

	if (ctl->options.password_file)
		return password_from_file(ctl->options.password_file, ret, ASK_MAX_BYTES, err);
	r = ask_line(is_new ? "New password" : "Password",
		     "--password-file F (- is standard input)", false, ret, ASK_MAX_BYTES, err);
	if (r < 0 || !is_new)
		return r;
	r = ask_line("Again", "--password-file F", false, again, sizeof(again), err);
	if (r == 0 && strcmp(ret, again) != 0)
		r = err_set(err, ERR_INVALID, "the two passwords differ");
	crypto_wipe(again, sizeof(again));
	return r;
}
