#define ITERATE iterate_another
#include "iterate.h"
