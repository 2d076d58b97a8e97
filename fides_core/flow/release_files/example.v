// How to put fides_core_@preset@ into a design of your own: clock, reset, time, interrupts, and memory and a
// device on its two AXI4 ports. fides_example_@preset@_tb.v runs it; it can be synthesised, too.

module fides_example_@preset@ (
    input  wire       clk,
    input  wire       reset_n,  // asynchronous, active low: a button or the lock of a PLL
    output reg  [7:0] leds      // the last byte stored to 0x1000_0000
);

    // The core's reset is synchronous to clk and active high.
    (* ASYNC_REG = "TRUE" *) reg [1:0] reset_stages;
    wire rst = reset_stages[1];
    always @(posedge clk or negedge reset_n)
        if (!reset_n) reset_stages <= 2'b11;
        else reset_stages <= {reset_stages[0], 1'b0};

    // What the time CSR reads. A real system has a CLINT that counts this and compares it with mtimecmp.
    reg [63:0] mtime;
    always @(posedge clk)
        if (rst) mtime <= 64'd0;
        else mtime <= mtime + 64'd1;

    wire [31:0] iaxi_araddr;
    wire [7:0]  iaxi_arlen;
    wire [0:0]  iaxi_arid, iaxi_rid;
    wire [63:0] iaxi_rdata;
    wire [1:0]  iaxi_rresp;
    wire        iaxi_arvalid, iaxi_arready, iaxi_rvalid, iaxi_rready, iaxi_rlast;

    wire [31:0] daxi_awaddr, daxi_araddr;
    wire [7:0]  daxi_awlen, daxi_arlen, daxi_wstrb;
    wire [0:0]  daxi_awid, daxi_arid, daxi_bid, daxi_rid;
    wire [63:0] daxi_wdata, daxi_rdata;
    wire [1:0]  daxi_bresp, daxi_rresp;
    wire        daxi_awvalid, daxi_awready, daxi_wvalid, daxi_wready, daxi_wlast, daxi_bvalid, daxi_bready;
    wire        daxi_arvalid, daxi_arready, daxi_rvalid, daxi_rready, daxi_rlast;

    // What this memory does not look at: all bursts are INCR, with beats of 8 bytes, and single transfers are
    // of aligned data in its lanes.
    wire [1:0]  unused_iaxi_arburst, unused_daxi_awburst, unused_daxi_arburst;
    wire [2:0]  unused_iaxi_arsize, unused_daxi_awsize, unused_daxi_arsize;
    wire [2:0]  unused_iaxi_arprot, unused_daxi_awprot, unused_daxi_arprot;
    wire [3:0]  unused_iaxi_arcache, unused_daxi_awcache, unused_daxi_arcache;

    fides_core_@preset@ core (
        .clk(clk),
        .rst(rst),
        .mtime(mtime),
        .software_interrupt(1'b0),
        .timer_interrupt(1'b0),
        .external_interrupt(1'b0),

        .iaxi_arvalid(iaxi_arvalid),
        .iaxi_arready(iaxi_arready),
        .iaxi_araddr(iaxi_araddr),
        .iaxi_arprot(unused_iaxi_arprot),
        .iaxi_arid(iaxi_arid),
        .iaxi_arlen(iaxi_arlen),
        .iaxi_arsize(unused_iaxi_arsize),
        .iaxi_arburst(unused_iaxi_arburst),
        .iaxi_arcache(unused_iaxi_arcache),
        .iaxi_rvalid(iaxi_rvalid),
        .iaxi_rready(iaxi_rready),
        .iaxi_rid(iaxi_rid),
        .iaxi_rdata(iaxi_rdata),
        .iaxi_rresp(iaxi_rresp),
        .iaxi_rlast(iaxi_rlast),

        .daxi_awvalid(daxi_awvalid),
        .daxi_awready(daxi_awready),
        .daxi_awaddr(daxi_awaddr),
        .daxi_awprot(unused_daxi_awprot),
        .daxi_awid(daxi_awid),
        .daxi_awlen(daxi_awlen),
        .daxi_awsize(unused_daxi_awsize),
        .daxi_awburst(unused_daxi_awburst),
        .daxi_awcache(unused_daxi_awcache),
        .daxi_wvalid(daxi_wvalid),
        .daxi_wready(daxi_wready),
        .daxi_wdata(daxi_wdata),
        .daxi_wstrb(daxi_wstrb),
        .daxi_wlast(daxi_wlast),
        .daxi_bvalid(daxi_bvalid),
        .daxi_bready(daxi_bready),
        .daxi_bid(daxi_bid),
        .daxi_bresp(daxi_bresp),
        .daxi_arvalid(daxi_arvalid),
        .daxi_arready(daxi_arready),
        .daxi_araddr(daxi_araddr),
        .daxi_arprot(unused_daxi_arprot),
        .daxi_arid(daxi_arid),
        .daxi_arlen(daxi_arlen),
        .daxi_arsize(unused_daxi_arsize),
        .daxi_arburst(unused_daxi_arburst),
        .daxi_arcache(unused_daxi_arcache),
        .daxi_rvalid(daxi_rvalid),
        .daxi_rready(daxi_rready),
        .daxi_rid(daxi_rid),
        .daxi_rdata(daxi_rdata),
        .daxi_rresp(daxi_rresp),
        .daxi_rlast(daxi_rlast)
    );

    wire        i_enable, d_enable;
    wire [31:0] i_address, d_address;
    wire [7:0]  unused_i_write, d_write;
    wire [63:0] unused_i_data, d_data;
    reg  [63:0] i_word, d_word;

    fides_example_@preset@_port instruction_port (
        .clk(clk), .rst(rst),
        .awvalid(1'b0), .awready(unused_iaxi_awready), .awaddr(32'd0), .awid(1'b0), .awlen(8'd0),
        .wvalid(1'b0), .wready(unused_iaxi_wready), .wdata(64'd0), .wstrb(8'd0), .wlast(1'b0),
        .bvalid(unused_iaxi_bvalid), .bready(1'b0), .bid(unused_iaxi_bid), .bresp(unused_iaxi_bresp),
        .arvalid(iaxi_arvalid), .arready(iaxi_arready), .araddr(iaxi_araddr), .arid(iaxi_arid),
        .arlen(iaxi_arlen), .rvalid(iaxi_rvalid), .rready(iaxi_rready), .rid(iaxi_rid), .rdata(iaxi_rdata),
        .rresp(iaxi_rresp), .rlast(iaxi_rlast),
        .enable(i_enable), .address(i_address), .write(unused_i_write), .data(unused_i_data), .word(i_word)
    );
    wire       unused_iaxi_awready, unused_iaxi_wready, unused_iaxi_bvalid;
    wire [0:0] unused_iaxi_bid;
    wire [1:0] unused_iaxi_bresp;

    fides_example_@preset@_port data_port (
        .clk(clk), .rst(rst),
        .awvalid(daxi_awvalid), .awready(daxi_awready), .awaddr(daxi_awaddr), .awid(daxi_awid),
        .awlen(daxi_awlen), .wvalid(daxi_wvalid), .wready(daxi_wready), .wdata(daxi_wdata),
        .wstrb(daxi_wstrb), .wlast(daxi_wlast), .bvalid(daxi_bvalid), .bready(daxi_bready), .bid(daxi_bid),
        .bresp(daxi_bresp),
        .arvalid(daxi_arvalid), .arready(daxi_arready), .araddr(daxi_araddr), .arid(daxi_arid),
        .arlen(daxi_arlen), .rvalid(daxi_rvalid), .rready(daxi_rready), .rid(daxi_rid), .rdata(daxi_rdata),
        .rresp(daxi_rresp), .rlast(daxi_rlast),
        .enable(d_enable), .address(d_address), .write(d_write), .data(d_data), .word(d_word)
    );

    // 16 KiB that are seen at every address; the program is where the core begins. A real system decodes the
    // address, and answers DECERR where nothing is.
    reg [63:0] memory [0:2047];
    initial begin
@program@
    end

    integer lane;
    wire device = d_address[28];
    always @(posedge clk)
        if (i_enable) i_word <= memory[i_address[13:3]];
    always @(posedge clk)
        if (d_enable) begin
            d_word <= memory[d_address[13:3]];
            for (lane = 0; lane < 8; lane = lane + 1)
                if (d_write[lane] && !device) memory[d_address[13:3]][8*lane +: 8] <= d_data[8*lane +: 8];
        end
    always @(posedge clk)
        if (rst) leds <= 8'd0;
        else if (d_enable && device && d_write[0]) leds <= d_data[7:0];

    wire unused_address = &{1'b0, i_address[31:14], i_address[2:0], d_address[31:29], d_address[27:14],
                            d_address[2:0]};

endmodule


// One AXI4 subordinate in front of a port of a memory that answers in the next cycle: a read or a write at a
// time; INCR bursts with beats of 8 bytes, or single transfers.
module fides_example_@preset@_port (
    input  wire        clk,
    input  wire        rst,

    input  wire        awvalid,
    output wire        awready,
    input  wire [31:0] awaddr,
    input  wire [0:0]  awid,
    input  wire [7:0]  awlen,
    input  wire        wvalid,
    output wire        wready,
    input  wire [63:0] wdata,
    input  wire [7:0]  wstrb,
    input  wire        wlast,
    output wire        bvalid,
    input  wire        bready,
    output wire [0:0]  bid,
    output wire [1:0]  bresp,
    input  wire        arvalid,
    output wire        arready,
    input  wire [31:0] araddr,
    input  wire [0:0]  arid,
    input  wire [7:0]  arlen,
    output reg         rvalid,
    input  wire        rready,
    output wire [0:0]  rid,
    output wire [63:0] rdata,
    output wire [1:0]  rresp,
    output reg         rlast,

    output wire        enable,
    output reg  [31:0] address,  // bytes
    output wire [7:0]  write,    // lanes
    output wire [63:0] data,
    input  wire [63:0] word      // what was read with the last enable
);

    localparam [1:0] IDLE = 2'd0, READ = 2'd1, WRITE = 2'd2, RESPOND = 2'd3;
    reg  [1:0] state;
    reg  [7:0] left;  // beats to come behind the next one
    reg  [0:0] id;
    wire reading = state == READ && (!rvalid || rready);
    wire writing = state == WRITE && wvalid;

    assign awready = state == IDLE && !rvalid;
    assign arready = state == IDLE && !rvalid && !awvalid;
    assign wready = state == WRITE;
    assign bvalid = state == RESPOND;
    assign bid = id;
    assign rid = id;
    assign bresp = 2'b00;
    assign rresp = 2'b00;
    assign rdata = word;
    assign enable = reading || writing;
    assign write = writing ? wstrb : 8'd0;
    assign data = wdata;

    always @(posedge clk)
        if (rst) begin
            state <= IDLE;
            rvalid <= 1'b0;
            rlast <= 1'b0;
            address <= 32'd0;
            left <= 8'd0;
            id <= 1'b0;
        end else begin
            if (rvalid && rready) rvalid <= 1'b0;
            if (reading) begin
                rvalid <= 1'b1;
                rlast <= left == 8'd0;
            end
            if (enable) begin
                address <= address + 32'd8;
                left <= left - 8'd1;
            end
            case (state)
                IDLE:
                    if (awvalid && awready) begin
                        {state, address, id, left} <= {WRITE, awaddr, awid, awlen};
                    end else if (arvalid && arready) begin
                        {state, address, id, left} <= {READ, araddr, arid, arlen};
                    end
                READ: if (reading && left == 8'd0) state <= IDLE;
                WRITE: if (writing && wlast) state <= RESPOND;
                RESPOND: if (bready) state <= IDLE;
            endcase
        end

endmodule
