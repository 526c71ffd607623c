#include <string.h>
#include "options.h"
#include "parse.h"

enum option_kind { KIND_FLAG, KIND_TEXT, KIND_NUMBER, KIND_LIST };

struct option_row {
	enum option option;
	const char *name;
	const char *value; /* placeholder in the help; NULL: a flag */
	enum option_kind kind;
	size_t offset;
	const char *meaning;
};

#define ROW(option, name, value, kind, field, meaning)                                        \
	{                                                                                     \
		(option), (name), (value), (kind), offsetof(struct options, field), (meaning) \
	}
static const struct option_row rows[] = {
	ROW(OPTION_DATA, "--data", "DIR", KIND_TEXT, data, "the instance's data directory"),
	ROW(OPTION_JSON, "--json", NULL, KIND_FLAG, json, "print JSON"),
	ROW(OPTION_HELP, "--help", NULL, KIND_FLAG, help, "this text"),
	ROW(OPTION_USER, "--user", "U", KIND_TEXT, user, "the name to log in with"),
	ROW(OPTION_PASSWORD_FILE, "--password-file", "F", KIND_TEXT, password_file,
	    "read the password from the first line of F (- is standard input)"),
	ROW(OPTION_REASON, "--reason", "T", KIND_TEXT, reason, "why; the author sees it"),
	ROW(OPTION_HASH, "--hash", "H", KIND_TEXT, hash, "the content hash that was reviewed"),
	ROW(OPTION_ALLOW_PRIVATE, "--allow-private", NULL, KIND_FLAG, allow_private,
	    "also let the host lie in a private network"),
	ROW(OPTION_SINCE, "--since", "SEQ", KIND_NUMBER, since, "begin after this sequence number"),
	ROW(OPTION_TOPIC, "--topic", "T", KIND_LIST, topics, "only this topic; may be repeated"),
	ROW(OPTION_LIMIT, "-n", "N", KIND_NUMBER, limit, "begin with the last N rows"),
	ROW(OPTION_NO_FOLLOW, "--no-follow", NULL, KIND_FLAG, no_follow,
	    "print what is there and end"),
	ROW(OPTION_ANCHOR, "--anchor", "FILE", KIND_TEXT, anchor,
	    "a head that was kept elsewhere: what verify --json printed before"),
	ROW(OPTION_ROOT, "--root", "FILE", KIND_TEXT, root,
	    "the root key; made if FILE is missing"),
	ROW(OPTION_ARGUMENTS, "--arguments", "JSON", KIND_TEXT, arguments,
	    "what the tool is called with, a JSON object"),
	ROW(OPTION_OUT, "--out", "DIR", KIND_TEXT, out, "where the key files of the roles go"),
	ROW(OPTION_SERVER, "--server", "S", KIND_TEXT, server, "only this server, by name or id"),
	ROW(OPTION_FORMAT, "--format", "F", KIND_TEXT, format,
	    "own (2.0, with versions and settings) or 1.2"),
	ROW(OPTION_HEADS, "--heads", NULL, KIND_FLAG, heads, "without older versions"),
	ROW(OPTION_DRY_RUN, "--dry-run", NULL, KIND_FLAG, dry_run, "only say what would happen"),
	ROW(OPTION_ACCEPT_UNVERIFIED, "--accept-unverified", NULL, KIND_FLAG, accept_unverified,
	    "take a file that this instance did not sign; all of it arrives pending"),
	ROW(OPTION_SETTINGS, "--settings", NULL, KIND_FLAG, settings,
	    "also take the security policy of a file that this instance signed"),
	ROW(OPTION_ROLE, "--role", "R", KIND_TEXT, role, "admin, reviewer, author or viewer"),
	ROW(OPTION_SCOPE, "--scope", "S", KIND_TEXT, scope,
	    "read (default), call, author or admin"),
	ROW(OPTION_DAYS, "--days", "N", KIND_NUMBER, days,
	    "how long it is good; without: for ever"),
};

static const struct option_row *find_row(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

static int add_topic(struct options *o, const char *value, struct err *err)
{
	if (o->topic_count == OPTIONS_MAX_TOPICS)
		return err_set(err, ERR_INVALID, "at most %d topics", OPTIONS_MAX_TOPICS);
	o->topics[o->topic_count++] = value;
	return 0;
}

static int store(struct options *o, const struct option_row *row, const char *value,
		 struct err *err)
{
	void *field = (char *)o + row->offset;

	switch (row->kind) {
	case KIND_FLAG:
		*(bool *)field = true;
		return 0;
	case KIND_TEXT:
		*(const char **)field = value;
		return 0;
	case KIND_NUMBER:
		if (parse_u64(value, 0, INT64_MAX, field) == 0)
			return 0;
		return err_set(err, ERR_INVALID, "%s wants a number, not '%s'", row->name, value);
	case KIND_LIST:
		return add_topic(o, value, err);
	}
	return -ERR_INTERNAL;
}

/* Takes "--name value" and "--name=value"; *i moves on over a value of its own. */
static int parse_option(struct options *o, int argc, char **argv, int *i, struct err *err)
{
	const char *arg = argv[*i];
	const char *equals = strchr(arg, '=');
	const struct option_row *row = find_row(arg, equals ? (size_t)(equals - arg) : strlen(arg));
	const char *value = equals ? equals + 1 : NULL;

	if (!row)
		return err_set(err, ERR_INVALID, "there is no option %s", arg);
	if (row->kind == KIND_FLAG && value)
		return err_set(err, ERR_INVALID, "%s takes no value", row->name);
	if (row->kind != KIND_FLAG && !value) {
		if (*i + 1 >= argc)
			return err_set(err, ERR_INVALID, "%s wants a value", row->name);
		value = argv[++*i];
	}
	o->given |= OPT(row->option);
	return store(o, row, value, err);
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	struct options o = { 0 };
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int r = 0;

		if (!only_words && strcmp(arg, "--") == 0) {
			only_words = true;
		} else if (!only_words && arg[0] == '-' && arg[1] != 0) {
			r = parse_option(&o, argc, argv, &i, err);
		} else {
			if (o.word_count == OPTIONS_MAX_WORDS)
				return err_set(err, ERR_INVALID, "too many arguments");
			o.words[o.word_count++] = arg;
		}
		if (r < 0)
			return r;
	}
	*ret = o;
	return 0;
}

const char *options_first_foreign(uint32_t given, uint32_t allowed)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (given & ~allowed & OPT(rows[i].option))
			return rows[i].name;
	return NULL;
}

void options_print(uint32_t set, FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char left[32];

		if (!(set & OPT(rows[i].option)))
			continue;
		(void)snprintf(left, sizeof(left), "%s%s%s", rows[i].name, rows[i].value ? " " : "",
			       rows[i].value ? rows[i].value : "");
		(void)fprintf(out, "  %-22s %s\n", left, rows[i].meaning);
	}
}
