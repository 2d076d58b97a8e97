# Synopsys Design Constraints (Yosys/OpenROAD, Quartus, Libero, Radiant): fides_example_@preset@.
create_clock -name clk -period 20.000 [get_ports clk]

# Asynchronous: it reaches nothing but the reset synchroniser.
set_false_path -from [get_ports reset_n]

# LEDs: nobody samples them.
set_false_path -to [get_ports {leds[*]}]
