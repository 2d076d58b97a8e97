# Vivado: fides_example_@preset@. Pins and I/O standards are the board's.
create_clock -name clk -period 20.000 [get_ports clk]

# Asynchronous: it reaches nothing but the reset synchroniser, whose flip-flops are marked ASYNC_REG.
set_false_path -from [get_ports reset_n]

# LEDs: nobody samples them.
set_false_path -to [get_ports {leds[*]}]
