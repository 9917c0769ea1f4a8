// SPDX-License-Identifier: LGPL-2.1-or-later

static Variant square (Wp.TaskContext context, Variant args) throws Error
{
  var number = args.get_int32 ();

  return new Variant.int64 ((int64) number * number);
}

static void print_squares () throws Error
{
  var pool = new Wp.WorkerPool (2);

  pool.keep_alive = true;
  try
    {
      foreach (var numbers in new string[] { "[1, 2]", "[3, 4]" })
        {
          var squares = pool.map ("square", new Variant.parsed (numbers), null, null);

          print ("%s\n", squares.print (false));
        }
    }
  catch (Error error)
    {
      pool.terminate ();
      throw error;
    }
  finally
    {
      /* Nothing is thrown out of here, and without a cancellable nothing fails. */
      try
        {
          pool.stop_and_join (null);
        }
      catch (Error error)
        {
          assert_not_reached ();
        }
    }
}

int main (string[] args)
{
  Wp.register_function ("square", square);
  if (Wp.Worker.is_requested ())
    return Wp.Worker.main ();

  try
    {
      print_squares ();
    }
  catch (Error error)
    {
      printerr ("%s\n", error.message);
      return 1;
    }

  return 0;
}
