using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>How parameters follow their gradients.</summary>
public abstract record Optimizer
{
    /// <summary>How strongly parameters are pulled towards zero.</summary>
    public float WeightDecay { get; init; }

    /// <summary>
    /// Which parameters decay, by name and rank; by default those of two or more axes, not biases and the scales of normalisations.
    /// </summary>
    public Func<string, int, bool> Decays { get; init; } = (_, rank) => rank >= 2;

    /// <summary>A factor on the learning rate by the name of the parameter, such as less for early layers; by default 1.</summary>
    public Func<string, float> LearningRateScale { get; init; } = _ => 1;

    /// <summary>The largest norm of the gradient of all parameters together; longer ones are scaled to it. Null for no limit.</summary>
    public float? ClipNorm { get; init; }

    /// <summary>The decay of the exponential moving average of the parameters, such as 0.9999; null for none.</summary>
    public float? AverageDecay { get; init; }

    /// <summary>The names of the vectors that the optimiser keeps for each group of parameters, all zero at first.</summary>
    internal abstract string[] Moments { get; }

    /// <summary>The numbers that the host gives to each step: [learning rate, ...], three of them.</summary>
    /// <param name="step">The step, from 1.</param>
    /// <param name="learningRate">The learning rate of the step.</param>
    /// <param name="numbers">What to fill.</param>
    internal abstract void Prepare(long step, float learningRate, Span<float> numbers);

    /// <summary>Adds the update of one group to the graph; returns the new weights, then the new moments.</summary>
    /// <param name="weights">The weights [P].</param>
    /// <param name="gradient">Their gradient [P].</param>
    /// <param name="moments">The moments [P].</param>
    /// <param name="gradientScale">A scalar that multiplies the gradient; where it is NaN, weights and moments stay as they are.</param>
    /// <param name="step">What <see cref="Prepare"/> filled.</param>
    /// <param name="group">Says how the parameters are updated.</param>
    internal abstract Value[] Update(
        Value weights, Value gradient, Value[] moments, Value? gradientScale, Value step, ParameterGroup group);
}

/// <summary>Adam with decoupled weight decay, as PyTorch computes it.</summary>
public sealed record AdamW : Optimizer
{
    /// <summary>Creates the optimiser with a weight decay of 0.05, as vision transformers are mostly trained.</summary>
    public AdamW() => WeightDecay = 0.05f;

    /// <summary>The decay of the mean of gradients.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>The decay of the mean of squared gradients.</summary>
    public float Beta2 { get; init; } = 0.999f;

    /// <summary>Keeps the denominator from zero.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    internal override string[] Moments => ["first_moment", "second_moment"];

    internal override void Prepare(long step, float learningRate, Span<float> numbers)
    {
        numbers[0] = learningRate;
        numbers[1] = (float)(1 - Math.Pow(Beta1, step));
        numbers[2] = (float)(1 - Math.Pow(Beta2, step));
    }

    internal override Value[] Update(
        Value weights, Value gradient, Value[] moments, Value? gradientScale, Value step, ParameterGroup group) =>
        AdamWStep.Apply(weights, gradient, moments[0], moments[1], gradientScale ?? weights.Builder.Scalar(1, weights), step, new()
        {
            ["beta1"] = Beta1,
            ["beta2"] = Beta2,
            ["epsilon"] = Epsilon,
            ["weight_decay"] = group.WeightDecay,
            ["learning_rate_scale"] = group.LearningRateScale,
        });
}

/// <summary>
/// Adam as Keras computes it: <see cref="Epsilon"/> is added to the root of the mean of squares before that is corrected for its start.
/// Weight decay, of which there is none by default, is added to the gradient.
/// <para>Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015 (arXiv 1412.6980), the form before section 2.1.</para>
/// </summary>
public sealed record Adam : Optimizer
{
    /// <summary>The decay of the mean of gradients.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>The decay of the mean of squared gradients.</summary>
    public float Beta2 { get; init; } = 0.999f;

    /// <summary>Keeps the denominator from zero.</summary>
    public float Epsilon { get; init; } = 1e-7f;

    internal override string[] Moments => ["first_moment", "second_moment"];

    // The correction of the second moment goes into the learning rate, so that AdamWStep corrects none.
    internal override void Prepare(long step, float learningRate, Span<float> numbers)
    {
        numbers[0] = (float)(learningRate * Math.Sqrt(1 - Math.Pow(Beta2, step)));
        numbers[1] = (float)(1 - Math.Pow(Beta1, step));
        numbers[2] = 1;
    }

    internal override Value[] Update(Value weights, Value gradient, Value[] moments, Value? gradientScale, Value step, ParameterGroup group)
    {
        var scale = gradientScale ?? weights.Builder.Scalar(1, weights);
        if (group.WeightDecay != 0)
            gradient += weights * group.WeightDecay / scale;
        return AdamWStep.Apply(weights, gradient, moments[0], moments[1], scale, step, new()
        {
            ["beta1"] = Beta1,
            ["beta2"] = Beta2,
            ["epsilon"] = Epsilon,
            ["weight_decay"] = 0f,
            ["learning_rate_scale"] = group.LearningRateScale,
        });
    }
}

/// <summary>Stochastic gradient descent with momentum, as PyTorch computes it (weight decay is added to the gradient).</summary>
public sealed record Sgd : Optimizer
{
    /// <summary>How much of the last update is kept; 0 for plain gradient descent.</summary>
    public float Momentum { get; init; } = 0.9f;

    /// <summary>Whether the gradient is looked up ahead along the momentum (Nesterov).</summary>
    public bool Nesterov { get; init; }

    internal override string[] Moments => Momentum == 0 ? [] : ["velocity"];

    internal override void Prepare(long step, float learningRate, Span<float> numbers)
    {
        numbers.Clear();
        numbers[0] = learningRate;
    }

    internal override Value[] Update(Value weights, Value gradient, Value[] moments, Value? gradientScale, Value step, ParameterGroup group)
    {
        var rate = step.Gather(weights.Builder.Constant(Tensor.Scalar(0L))) * group.LearningRateScale;
        if (gradientScale is not null)
            gradient *= gradientScale;
        if (group.WeightDecay != 0)
            gradient += weights * group.WeightDecay;
        if (Momentum == 0)
            return [Next(weights, weights - (gradient * rate))];
        var velocity = (moments[0] * Momentum) + gradient;
        var direction = Nesterov ? gradient + (velocity * Momentum) : velocity;
        return [Next(weights, weights - (direction * rate)), Next(moments[0], velocity)];

        Value Next(Value old, Value next) => gradientScale is null ? next : gradientScale.Apply("IsNaN").Where(old, next);
    }
}
