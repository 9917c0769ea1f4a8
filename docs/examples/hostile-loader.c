/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A loader of gdk-pixbuf for Photoshop's files, which has none. It stands for a decoder with a bug, which some file from
 * elsewhere finds: it aborts. */

#define GDK_PIXBUF_ENABLE_BACKEND
#include <gdk-pixbuf/gdk-pixbuf.h>
#include <stdlib.h>

G_MODULE_EXPORT void fill_info (GdkPixbufFormat *info);
G_MODULE_EXPORT void fill_vtable (GdkPixbufModule *module);

static gpointer
begin_load (GdkPixbufModuleSizeFunc on_size,
            GdkPixbufModulePreparedFunc on_prepared,
            GdkPixbufModuleUpdatedFunc on_updated,
            gpointer user_data,
            GError **error)
{
  abort ();
}

static gboolean
load_increment (gpointer context, const guchar *bytes, guint n_bytes, GError **error)
{
  return TRUE;
}

static gboolean
stop_load (gpointer context, GError **error)
{
  return TRUE;
}

void
fill_vtable (GdkPixbufModule *module)
{
  module->begin_load = begin_load;
  module->load_increment = load_increment;
  module->stop_load = stop_load;
}

void
fill_info (GdkPixbufFormat *info)
{
  static GdkPixbufModulePattern signature[] = { { (char *) "8BPS", NULL, 100 }, { NULL, NULL, 0 } };
  static char *mime_types[] = { (char *) "image/vnd.adobe.photoshop", NULL };
  static char *extensions[] = { NULL };

  info->name = (char *) "hostile";
  info->signature = signature;
  info->description = (char *) "Images that crash their decoder";
  info->mime_types = mime_types;
  info->extensions = extensions;
  info->flags = GDK_PIXBUF_FORMAT_THREADSAFE;
  info->license = (char *) "LGPL";
}
