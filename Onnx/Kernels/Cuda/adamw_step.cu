// A step of AdamW over a flat vector of weights.

struct Parameters
{
    const float* weights;
    const float* gradient;
    const float* first_moment;
    const float* second_moment;
    const float* gradient_scale; // [1]
    const float* step;           // [3]: learning rate, 1 - beta1^t, 1 - beta2^t
    float* new_weights;
    float* new_first_moment;
    float* new_second_moment;
    long long count;
    float beta1;
    float beta2;
    float epsilon;
    float weight_decay;
    float learning_rate_scale;
};

extern "C" __global__ void adamw_step(const Parameters p)
{
    const float rate = p.step[0] * p.learning_rate_scale, scale = p.gradient_scale[0];
    const float step_size = rate / p.step[1], second_correction = p.step[2], kept = 1.0f - rate * p.weight_decay;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < p.count; i += (long long)gridDim.x * blockDim.x)
    {
        const float gradient = p.gradient[i] * scale;
        const float first = p.first_moment[i] * p.beta1 + gradient * (1.0f - p.beta1);
        const float second = p.second_moment[i] * p.beta2 + gradient * gradient * (1.0f - p.beta2);
        p.new_weights[i] = p.weights[i] * kept - step_size * first / (sqrtf(second / second_correction) + p.epsilon);
        p.new_first_moment[i] = first;
        p.new_second_moment[i] = second;
    }
}
