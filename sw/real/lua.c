/* Runs the Lua of a chunk. The C library has no files to rename, and no shell. */
#include <stdio.h>
#include <time.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

#ifdef __riscv
int rename(const char *from, const char *to)
{
  (void)from, (void)to;
  return -1;
}
#endif

static const char chunk[] =
    "local numbers = {}\n"
    "for i = 1, 60 do numbers[i] = i * 37 % 61 end\n"
    "table.sort(numbers)\n"
    "print(table.concat(numbers, ' ', 1, 10), #numbers)\n"
    "print(string.format('%5.2f %q %x %s', 3.14159, 'a\\nb', 255, 10 // 3))\n"
    "print(select('#', pcall(error, {})), (select(2, pcall(error, 'thrown', 0))))\n"
    "local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)\n"
    "print(co(1), co(21))\n"
    "print((('hello world'):gsub('o', {o = '0'})), ('x=1, y=2'):match('y=(%d)'))\n"
    "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end\n"
    "print(fib(15))\n"
    "local words = setmetatable({}, {__index = function(t, k) t[k] = k .. k return t[k] end})\n"
    "print(words.ab, rawget(words, 'ab'), rawget(words, 'c'))\n"
    "for i = 1, 300 do local garbage = {i, tostring(i)} end\n"
    "collectgarbage()\n"
    "print(collectgarbage('count') < 200, math.maxinteger + 1 == math.mininteger)\n"
    "print(load('return 2^10 + 0x10')(), utf8.char(955), string.pack('<i4', 100):byte(1, -1))\n"
    "local ok, message = pcall(load, 'x =')\n"
    "print(ok, select(2, load('x =')))\n";

int main(void)
{
  lua_State *state = luaL_newstate();
  if (!state)
    return 1;
  luaL_openlibs(state);
  int failed = luaL_loadbuffer(state, chunk, sizeof chunk - 1, "=chunk") || lua_pcall(state, 0, 0, 0);
  if (failed)
    puts(lua_tostring(state, -1));
  lua_close(state);
  return failed;
}
