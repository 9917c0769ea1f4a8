/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <gio/gio.h>

/**
 * WP_PUBLIC:
 *
 * Marks a symbol as part of the library's interface; everything else is hidden.
 */
#define WP_PUBLIC __attribute__ ((visibility ("default"))) extern
