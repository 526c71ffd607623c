/* The moves of a tool's approval.  These change the object only; the caller saves it. */
#pragma once

#include "work.h"

/* The head becomes the live version. */
void approval_make_live(struct work *w, PB(Tool) * tool, const char *approved_by);
/* The audit row that belongs to a head which the policy approved; nothing when it did not. */
void approval_audit_auto(struct work *w, const PB(Tool) * tool);
/* A new head that nobody has looked at. */
void approval_make_draft(PB(Tool) * tool);
