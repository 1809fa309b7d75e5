// The windows of a convolution of two axes; the same struct is in ConvolutionWindow.cs.
struct ConvolutionWindow
{
    int kernel_height;
    int kernel_width;
    int stride_y;
    int stride_x;
    int dilation_y;
    int dilation_x;
    int pad_top;
    int pad_left;
    int pad_bottom;
    int pad_right;
};
