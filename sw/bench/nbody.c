/* N-body: the Sun and the four giant planets, each step moves them by their attraction (symplectic Euler). Double
 * precision, in software on this core: long calls of leaf functions. Units: astronomical unit, year, solar
 * mass times 4 pi^2. */
#include <math.h>

#include "harness.h"

#define BODIES 5
#define STEPS 16
#define STEP 0.01
#define DAYS 365.24
#define SOLAR_MASS (4 * 3.141592653589793 * 3.141592653589793)

const struct benchmark benchmark = {"nbody", 0x4235c0f45b1201ea};

struct body {
  double position[3], velocity[3], mass;
};

/* Positions, velocities a day, masses in Suns, of the benchmark's definition. */
static struct body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 1},
    {{4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01},
     {1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05},
     9.54791938424326609e-04},
    {{8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01},
     {-2.76742510726411899e-03, 4.99852801234917238e-03, 2.30417297573763929e-05},
     2.85885980666130812e-04},
    {{1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01},
     {2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05},
     4.36624404335156298e-05},
    {{1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01},
     {2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05},
     5.15138902046611451e-05},
};

/* To the units above, and to the frame in which the momentum is 0. */
static void prepare(void)
{
  double momentum[3] = {0, 0, 0};
  for (int i = 0; i < BODIES; i++) {
    bodies[i].mass *= SOLAR_MASS;
    for (int axis = 0; axis < 3; axis++) {
      bodies[i].velocity[axis] *= DAYS;
      momentum[axis] += bodies[i].velocity[axis] * bodies[i].mass;
    }
  }
  for (int axis = 0; axis < 3; axis++)
    bodies[0].velocity[axis] = -momentum[axis] / SOLAR_MASS;
}

static double square(const double vector[3])
{
  return vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
}

static double energy(void)
{
  double sum = 0;
  for (int i = 0; i < BODIES; i++) {
    sum += 0.5 * bodies[i].mass * square(bodies[i].velocity);
    for (int j = i + 1; j < BODIES; j++) {
      double between[3];
      for (int axis = 0; axis < 3; axis++)
        between[axis] = bodies[i].position[axis] - bodies[j].position[axis];
      sum -= bodies[i].mass * bodies[j].mass / sqrt(square(between));
    }
  }
  return sum;
}

static void advance(void)
{
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) {
      double between[3];
      for (int axis = 0; axis < 3; axis++)
        between[axis] = bodies[i].position[axis] - bodies[j].position[axis];
      double distance2 = square(between);
      double pull = STEP / (distance2 * sqrt(distance2));
      for (int axis = 0; axis < 3; axis++) {
        bodies[i].velocity[axis] -= between[axis] * bodies[j].mass * pull;
        bodies[j].velocity[axis] += between[axis] * bodies[i].mass * pull;
      }
    }
  }
  for (int i = 0; i < BODIES; i++)
    for (int axis = 0; axis < 3; axis++)
      bodies[i].position[axis] += STEP * bodies[i].velocity[axis];
}

uint64_t benchmark_run(void)
{
  prepare();
  uint64_t sum = checksum_double(CHECKSUM_START, energy());
  for (int step = 0; step < STEPS; step++)
    advance();
  return checksum_double(sum, energy());
}
