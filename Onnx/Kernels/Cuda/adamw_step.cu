// A step of AdamW over a flat vector of weights.

struct Parameters
{
    const float* weights;
    const float* gradient;
    const float* first_moment;
    const float* second_moment;
    const float* gradient_scale; // [1]; NaN to leave all as it is
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

// The same for all weights.
struct Update
{
    float step_size, second_correction, kept, scale;
};

__device__ __forceinline__ void update(const Parameters& p, const Update& u, float gradient, float& weight, float& first, float& second)
{
    gradient *= u.scale;
    first = first * p.beta1 + gradient * (1.0f - p.beta1);
    second = second * p.beta2 + gradient * gradient * (1.0f - p.beta2);
    weight = weight * u.kept - u.step_size * first / (sqrtf(second / u.second_correction) + p.epsilon);
}

extern "C" __global__ void adamw_step(const Parameters p)
{
    Update u;
    const float rate = p.step[0] * p.learning_rate_scale;
    u.step_size = rate / p.step[1];
    u.second_correction = p.step[2];
    u.kept = 1.0f - rate * p.weight_decay;
    u.scale = p.gradient_scale[0];
    const bool skipped = u.scale != u.scale;
    const long long stride = (long long)gridDim.x * blockDim.x * 4;
    for (long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4; i < p.count; i += stride)
    {
        if (i + 4 <= p.count)
        {
            float4 weights = *(const float4*)(p.weights + i);
            float4 first = *(const float4*)(p.first_moment + i), second = *(const float4*)(p.second_moment + i);
            if (!skipped)
            {
                const float4 gradient = *(const float4*)(p.gradient + i);
                update(p, u, gradient.x, weights.x, first.x, second.x);
                update(p, u, gradient.y, weights.y, first.y, second.y);
                update(p, u, gradient.z, weights.z, first.z, second.z);
                update(p, u, gradient.w, weights.w, first.w, second.w);
            }
            *(float4*)(p.new_weights + i) = weights;
            *(float4*)(p.new_first_moment + i) = first;
            *(float4*)(p.new_second_moment + i) = second;
            continue;
        }
        for (long long j = i; j < p.count; j++)
        {
            float weight = p.weights[j], first = p.first_moment[j], second = p.second_moment[j];
            if (!skipped)
                update(p, u, p.gradient[j], weight, first, second);
            p.new_weights[j] = weight;
            p.new_first_moment[j] = first;
            p.new_second_moment[j] = second;
        }
    }
}
