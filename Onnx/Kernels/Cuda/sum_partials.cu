// sums[i] = partials[0][i] + partials[1][i] + ..., the last step of reductions that blocks do in parts.

struct Parameters
{
    const float* partials; // [parts, width]
    float* sums;           // [width]
    int parts;
    int width;
};

extern "C" __global__ void sum_partials(const Parameters p)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= p.width)
        return;
    float sum = 0.0f;
    for (int part = 0; part < p.parts; part++)
        sum += p.partials[(long long)part * p.width + column];
    p.sums[column] = sum;
}
