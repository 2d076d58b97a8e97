// Runs the example until its program has stored 55, the sum of 1 to 10, to the LEDs.
`timescale 1ns / 1ps

module fides_example_@preset@_tb;

    reg clk;
    reg reset_n;
    wire [7:0] leds;
    integer cycles;

    always #5 clk = !clk;

    fides_example_@preset@ example (.clk(clk), .reset_n(reset_n), .leds(leds));

    initial begin
        clk = 1'b0;
        reset_n = 1'b0;
        repeat (8) @(posedge clk);
        #1 reset_n = 1'b1;
        cycles = 0;
        while (leds != 8'd55 && cycles < 5000) begin
            @(posedge clk);
            #1 cycles = cycles + 1;
        end
        if (leds == 8'd55) $display("PASSED: the sum is on the LEDs after %0d cycles", cycles);
        else $display("FAILED: the LEDs show %0d", leds);
        $finish;
    end

endmodule
